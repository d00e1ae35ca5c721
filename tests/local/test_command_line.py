"""`oarlock run --executor local`: what it shows, what it leaves, and how it is interrupted."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from engine.cli.local import local_executor
from registry.cli import BadInput
from tests.local.conftest import shell, steps, until, workflow_of
from tests.local.test_lifetime import until_gone
from tests.processes import started_here

OARLOCK = Path(sys.executable).with_name("oarlock")
EXAMPLE = Path(__file__).parents[2] / "examples" / "local.yaml"


def oarlock(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that reconciles, with the local executor, in a folder of its own."""
    own = ("--executor", "local", "--work-dir", str(folder / "runs"))
    return subprocess.run([OARLOCK, *arguments, *own], capture_output=True, text=True, cwd=folder)


def written(folder: Path, document: Any) -> str:
    path = folder / "wf.yaml"
    path.write_text(document if isinstance(document, str) else yaml.dump({"kind": "Workflow", **document}))
    return str(path)


def nodes_of(ended: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """The nodes that it wrote, by the names that are shown."""
    assert ended.stdout, ended.stderr
    return {node["displayName"]: node for node in orjson.loads(ended.stdout)["status"]["nodes"].values()}


def test_the_example_runs(tmp_path: Path) -> None:
    ended = oarlock(tmp_path, "run", str(EXAMPLE), "--output", "json")
    assert ended.returncode == 0, ended.stderr
    assert nodes_of(ended)["say"]["outputs"]["result"] == "'the' comes 3 times"


def test_it_says_where_logs_and_files_are(tmp_path: Path) -> None:
    ended = oarlock(tmp_path, "run", written(tmp_path, workflow_of(shell("main", "echo x")).document))
    assert ended.stdout.startswith("w Succeeded  1 Succeeded")
    (folder,) = re.findall(r"^logs and files: (.*)$", ended.stderr, re.MULTILINE)
    (log,) = Path(folder).rglob("log")
    assert log.read_text().endswith("\nx\n")


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = set(os.listdir("/tmp"))
    own = "touch here ~/home-file /tmp/oarlock-test-scratch $TMPDIR/oarlock-test-other; mkdir -p /oarlock-test; ls"
    document = workflow_of(shell("main", own, outputs={"artifacts": [{"name": "o", "path": "/oarlock-test"}]})).document
    path = written(tmp_path, document)
    command = [str(OARLOCK), "run", path, "--executor", "local", "--work-dir", str(tmp_path / "runs")]
    ended = subprocess.run(command, cwd=home, env={**os.environ, "HOME": str(home)})
    assert ended.returncode == 0
    assert os.listdir(home) == []
    assert {each for each in set(os.listdir("/tmp")) - before if each.startswith("oarlock-test")} == set()
    assert not os.path.exists("/oarlock-test")


def test_the_same_manifest_run_again_is_another_run(tmp_path: Path) -> None:
    count = tmp_path / "count"
    path = written(tmp_path, workflow_of(shell("main", f"echo x >> {count}")).document)
    for _ in range(2):
        assert oarlock(tmp_path, "run", path).returncode == 0
    assert count.read_text() == "x\nx\n"


def test_what_failed_is_retried_from_where_it_was_written(tmp_path: Path) -> None:
    first = shell("first", f"echo first >> {tmp_path}/count; echo kept > /o", outputs=OUTPUT)
    second = shell("second", f"cat /i >> {tmp_path}/count; [ -e {tmp_path}/go ]", inputs=INPUT)
    given = {"artifacts": [{"name": "i", "from": "{{steps.first.outputs.artifacts.o}}"}]}
    main = steps("main", {"name": "first"}, {"name": "second", "arguments": given})
    path = written(tmp_path, workflow_of(main, first, second).document)
    failed = oarlock(tmp_path, "run", path, "--output", "yaml")
    assert failed.returncode == 1
    (tmp_path / "go").touch()
    retried = oarlock(tmp_path, "retry", written(tmp_path, failed.stdout))
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert (tmp_path / "count").read_text() == "first\nkept\nkept\n"


OUTPUT = {"artifacts": [{"name": "o", "path": "/o"}]}
INPUT = {"artifacts": [{"name": "i", "path": "/i"}]}


async def test_ctrl_c_ends_the_process_groups(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    path = written(tmp_path, workflow_of(shell("main", f"sleep 1000 & echo $$ $! > {note}; wait")).document)
    command = (str(OARLOCK), "run", path, "--executor", "local", "--work-dir", str(tmp_path / "runs"))
    async with started_here(*command) as running:
        pids = (await until(note, text="\n")).split()
        running.send_signal(signal.SIGINT)
        assert await running.wait() == 130
    for pid in pids:
        await until_gone(int(pid))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "local", "--work-dir", "a b"], "expected a path of letters, digits and"),
        (["--executor", "local", "--work-dir", "wf.yaml"], "wf.yaml: File exists"),
        (["--executor", "local", "--outcomes", "outcomes.yaml"], "--outcomes: only the simulated executor has any"),
        (["--work-dir", "x"], "--work-dir: only the local executor has one"),
        (["--parallel-leaves", "2"], "--parallel-leaves: only the local executor has one"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    path = written(tmp_path, workflow_of(shell("main", "true")).document)
    (tmp_path / "outcomes.yaml").write_text("main: {}")
    ended = subprocess.run([OARLOCK, "run", path, *options], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_full_disk_is_told_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, **settings: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("engine.cli.local.LocalExecutor", full)
    with pytest.raises(BadInput) as caught:
        local_executor(tmp_path, None)
    assert caught.value.message == f"--work-dir: {tmp_path}: No space left on device"
