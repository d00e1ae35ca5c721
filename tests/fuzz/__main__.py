"""``python -m tests.fuzz``: what comes from outside, made up at random, as much of it as you like.

lanes: the wire lane against the aiohttp lane, on replies as bytes. replies: what plugins say to each method, applied to
a workflow. manifests: files that are loaded and run. configurations: plugins.toml and ConfigMaps. Prints the first
input of which something does not hold that must, and exits 1.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections import Counter
from random import Random
from types import FrameType
from typing import Final

import uvloop

from tests.fuzz.targets import TARGETS, Target

HANGS: Final = 60
"""Seconds after which an input hangs."""


async def fuzz(target: Target, inputs: int, seed: int) -> Counter[str]:
    """Check `inputs` inputs; how many there were of each outcome. Raises whatever there is to be told of."""
    dice = Random(seed)
    counts: Counter[str] = Counter()
    start = shown = time.monotonic()
    async with target.checking() as check:
        for number in range(1, inputs + 1):
            case = target.generate(dice)
            signal.setitimer(signal.ITIMER_REAL, HANGS)
            try:
                counts[await check(case)] += 1
            except Exception as found:
                found.add_note(f"input {number} of seed {seed}:\n{case}")
                raise
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if time.monotonic() > shown + 5:
                shown = time.monotonic()
                print(f"{number:,} of {inputs:,}, {number / (shown - start):,.0f} a second", file=sys.stderr)
    return counts


def _hang(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"not over after {HANGS} seconds")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", choices=["all", *TARGETS], default="all", help="what to try (%(default)s)")
    parser.add_argument("--inputs", type=int, help="how many inputs of each; by default what takes some minutes in all")
    parser.add_argument("--seed", type=int, help="where to start; a new one each time by default")
    options = parser.parse_args()
    logging.disable()
    signal.signal(signal.SIGALRM, _hang)
    seed = Random().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr)
    for name in TARGETS if options.target == "all" else [options.target]:
        target = TARGETS[name]
        counts = uvloop.run(fuzz(target, target.inputs if options.inputs is None else options.inputs, seed))
        print(f"{name}: {counts.total():,} held: {', '.join(f'{n:,} {what}' for what, n in counts.most_common())}")


main()
