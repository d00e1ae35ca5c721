"""Without the extra."""

from __future__ import annotations

import subprocess
import sys


def test_without_its_extra_one_line_says_what_to_install() -> None:
    hidden = "import runpy, sys; sys.modules['psutil'] = None; runpy.run_module('bench', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: psutil is not installed: pip install 'oarlock[bench]'\n"
