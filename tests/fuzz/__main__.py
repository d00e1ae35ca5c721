"""``python -m tests.fuzz``: the wire lane against the aiohttp lane, on as many replies as you like.

For each generated reply both lanes must come to the same end (delivered with the same content, transient or fatal), in
bounded time, and the wire lane to the same one however the reply is cut. Prints the first that is otherwise, as small
as it can be made, and exits 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

import uvloop

from tests.fuzz.checking import Checker, Disagreement, minimize
from tests.fuzz.generate import generate


async def fuzz(inputs: int, seed: int) -> Counter[str]:
    """Check `inputs` inputs; how many there were of each outcome. Raises `Disagreement`."""
    dice = Random(seed)
    counts: Counter[str] = Counter()
    checker = Checker()
    start = shown = time.monotonic()
    try:
        for number in range(1, inputs + 1):
            try:
                verdict = await checker.check(generate(dice))
            except Disagreement as found:
                found.add_note(f"input {number} of seed {seed}")
                raise await minimize(found) from found
            counts[verdict.outcome if isinstance(verdict.outcome, str) else "delivered"] += 1
            if time.monotonic() > shown + 5:
                shown = time.monotonic()
                print(f"{number:,} of {inputs:,}, {number / (shown - start):,.0f} a second", file=sys.stderr)
    finally:
        await checker.aclose()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many replies to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="where to start; a new one each time by default")
    options = parser.parse_args()
    seed = Random().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr)
    try:
        counts = uvloop.run(fuzz(options.inputs, seed))
    except Disagreement as found:
        print(found)
        for note in getattr(found.__cause__, "__notes__", ()):
            print(note)
        sys.exit(1)
    print(f"{counts.total():,} replies, no disagreement: {', '.join(f'{n:,} {what}' for what, n in counts.items())}")


main()
