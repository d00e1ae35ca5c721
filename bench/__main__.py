import sys

try:
    from bench.cli import main
except ModuleNotFoundError as missing:
    if missing.name in ("jinja2", "markupsafe", "psutil", "vl_convert"):
        sys.stderr.write(f"Error: {missing.name} is not installed: pip install 'oarlock[bench]'\n")
        sys.exit(2)
    raise

main(prog_name="python -m bench")
