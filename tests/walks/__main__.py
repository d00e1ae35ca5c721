"""``python -m tests.walks``: thousands of random workflows, each run undisturbed and disturbed; prints what differs."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.walks.comparing import Difference, compare


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.walks", description=__doc__)
    parser.add_argument("--graphs", type=int, default=5000, help="how many workflows to try (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's seed; the others follow (%(default)s)")
    options = parser.parse_args()
    logging.disable()
    found = cuts = 0
    start = shown = time.monotonic()
    for seed in range(options.seed, options.seed + options.graphs):
        try:
            cuts += compare(seed)
        except Difference as error:
            found += 1
            print(error)
        if time.monotonic() > shown + 5:
            shown = time.monotonic()
            print(f"{seed + 1 - options.seed:,} of {options.graphs:,}, {shown - start:,.0f} s", file=sys.stderr)
    print(f"{options.graphs:,} workflows, {cuts:,} passes given up, {found:,} differences")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
