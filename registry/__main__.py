"""``python -m registry check``."""

from registry.cli import main

if __name__ == "__main__":
    main(prog_name="python -m registry")
