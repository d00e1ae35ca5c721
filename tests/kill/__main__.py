"""``python -m tests.kill``: kill an engine at random moments, many times; ends with 1 where something was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kill.killing import Lost, kill


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how often to kill it (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what the dice are seeded with (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oarlock-kill-") as folder:
        try:
            for line in kill(Path(folder), options.rounds, options.seed):
                print(line, flush=True)
        except Lost as error:
            sys.exit(f"lost: {error}")


if __name__ == "__main__":
    main()
