import sys

try:
    from bench.cli import main
except ModuleNotFoundError as missing:
    if missing.name in ("jinja2", "markupsafe", "psutil", "vl_convert"):
        sys.exit(f"{missing.name} is not installed: pip install 'oarlock[bench]'")
    raise

main(prog_name="python -m bench")
