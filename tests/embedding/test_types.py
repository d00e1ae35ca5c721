"""An embedder's type checker sees our types: of what is installed, not of this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).with_name("typed_sample.py")
ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "controller.py"
"""The code of docs/embedding.md."""

MISTAKES = """\
from engine import Engine
from rpc import Client
from rpc.plugin import NodePreExecute

Engine.from_config("plugins.toml", workers="4")
Engine.from_config("plugins.toml", worker=4)
Client(4355)


def ends(args: NodePreExecute) -> bool:
    return args.node.phase == "Suceeded" or args.node.finish_at is not None
"""


def test_strict_mypy_of_an_embedder_follows_our_types(tmp_path: Path) -> None:
    sample, service, wrong = (tmp_path / name for name in ("sample.py", "service.py", "wrong.py"))
    sample.write_text(SAMPLE.read_text())
    service.write_text(SERVICE.read_text())
    wrong.write_text(MISTAKES)
    checked = subprocess.run(
        (
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-pretty",
            "--hide-error-context",
            "--cache-dir",  # what is installed is read once and not by each run
            str(ROOT / ".mypy_cache" / "embedder"),
            sample.name,
            service.name,
            wrong.name,
        ),
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line.partition(": error: ") for line in checked.stdout.splitlines() if ": error: " in line]
    assert [(place, text[text.rindex("[") :]) for place, _, text in errors] == [
        ("wrong.py:5", "[arg-type]"),
        ("wrong.py:6", "[call-arg]"),
        ("wrong.py:7", "[arg-type]"),
        ("wrong.py:11", "[comparison-overlap]"),
        ("wrong.py:11", "[attr-defined]"),
    ], checked.stdout + checked.stderr
