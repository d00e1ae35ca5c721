"""``python -m engine``."""

from engine.cli import main

main(prog_name="python -m engine")
