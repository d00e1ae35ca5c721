"""A plugin's process dies in the middle of a run and is started again: the run ends well all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.acceptance.manifests import container, loop, workflow
from tests.processes import started

PLUGIN = """
import os, sys
from rpc.plugin import Plugin

plugin = Plugin("mortal")
calls = 0

@plugin.on("node.preExecute")
def count(args):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os._exit(9)
    return {"node": {"message": "seen"}}

plugin.run(port=int(sys.argv[1]))
"""


@contextmanager
def listening(folder: Path, port: int, lives: int) -> Iterator[subprocess.Popen[str]]:
    """The plugin."""
    (folder / "plugin.py").write_text(PLUGIN)
    command = (sys.executable, "plugin.py", str(port), str(lives))
    with started(*command, cwd=folder, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        yield process


def test_killing_a_plugin_in_mid_run_and_restarting_it_ends_in_a_finished_run(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "mortal"\naddress = "http://127.0.0.1:{free_port}"\n'
        'breaker = { open_for = "100ms" }\n'
    )
    (tmp_path / "work.yaml").write_text(yaml.safe_dump(workflow(loop(300), container("leaf")).to_dict()))
    command = (sys.executable, "-m", "engine", "run", "work.yaml", "--config", "plugins.toml", "--output", "json")
    with (
        listening(tmp_path, free_port, lives=100) as first,
        started(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run,
    ):
        assert first.wait(timeout=240) == 9
        with listening(tmp_path, free_port, lives=0):
            out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert "Traceback" not in err
    ended = json.loads(out)
    assert ended["status"]["phase"] == "Succeeded"
    leaves = [node for node in ended["status"]["nodes"].values() if node["type"] == "Pod"]
    assert len(leaves) == 300
    assert {node["phase"] for node in leaves} == {"Succeeded"}
