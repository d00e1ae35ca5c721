"""An engine that is killed: what runs goes on, and the next one knows it again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import orjson
import pytest

from engine import Engine, Node, Result, SqliteStore, Workflow
from tests.local.conftest import Machine, named, shell, steps, until, workflow_of
from tests.local.test_lifetime import until_gone
from tests.processes import started_here

ENGINE = """
import asyncio, sys
import orjson
from engine import Engine, LocalExecutor, SqliteStore, Workflow

async def main():
    executor = LocalExecutor(sys.argv[1], grace=0.5)
    store = SqliteStore(sys.argv[3]) if len(sys.argv) > 3 else None
    async with Engine(executor=executor, store=store) as engine:
        await engine.run([Workflow(orjson.loads(sys.argv[2]))])

asyncio.run(main())
"""


NODE = Node(id="w", name="w", display_name="w", type="Pod")


async def crash(runs: Path, workflow: Workflow, note: Path, *store: str) -> int:
    """Have another process run the workflow, and kill it once its leaf has noted its process id, which is returned."""
    document = orjson.dumps(workflow.to_dict()).decode()
    async with started_here(sys.executable, "-c", ENGINE, str(runs), document, *store):
        return int((await until(note, text="\n")).split()[0])


async def begin(machine: Machine, workflow: Workflow) -> dict[str, Result]:
    """Make the first pass again, as from a store that knows of no report; what is reported is kept."""
    reports: dict[str, Result] = {}

    def report(workflow: Workflow, node_id: str, result: Result) -> None:
        reports[node_id] = result
        machine.engine.report(workflow, node_id, result)

    machine.executor.attach(report, machine.engine.templates)
    await machine.engine.run([workflow])
    return reports


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "pid"


async def test_what_runs_is_adopted_and_reported_when_it_ends(machine: Machine, note: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo started; echo $$ >> {note}; while [ ! -e {go} ]; do sleep 0.01; done; echo 5 > /tmp/o; exit 0"
    outputs = {"parameters": [{"name": "o", "valueFrom": {"path": "/tmp/o"}}]}
    workflow = workflow_of(shell("main", script, outputs=outputs))
    await crash(machine.executor.folder, workflow, note)
    running = asyncio.create_task(machine.engine.run([workflow]))
    await asyncio.sleep(0)
    go.touch()
    await running
    assert workflow.phase == "Succeeded"
    assert (named(workflow, "w").outputs or {})["result"] == "started"
    assert len((await until(note)).splitlines()) == 1


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_leaf_goes_on_and_its_result_is_taken_by_the_engine_that_opens_the_store(
    machine: Machine, note: Path, tmp_path: Path, suspended: bool
) -> None:
    go, path = tmp_path / "go", tmp_path / "oarlock.db"
    script = f"echo $$ >> {note}; while [ ! -e {go} ]; do sleep 0.01; done; echo went on"
    again = "echo {{inputs.parameters.said}}"
    said = {"parameters": [{"name": "said", "value": "{{steps.first.outputs.result}}"}]}
    workflow = workflow_of(
        steps("main", {"name": "first"}, {"name": "second", "arguments": said}),
        shell("first", script),
        shell("second", again, inputs={"parameters": [{"name": "said"}]}),
    )
    await crash(machine.executor.folder, workflow, note, str(path))
    async with Engine(executor=machine.executor, store=SqliteStore(path)) as engine:
        (restored,) = engine.workflows
        if suspended:
            engine.suspend(restored)
            await engine.reconcile(restored)
            assert machine.executor.busy
            engine.resume(restored)
        go.touch()
        await engine.run([])
    assert restored.uid == workflow.uid
    assert restored.phase == "Succeeded"
    assert (named(restored, "second").outputs or {})["result"] == "went on"
    assert len((await until(note)).splitlines()) == 1


async def test_what_ended_meanwhile_is_reported(machine: Machine, note: Path) -> None:
    workflow = workflow_of(shell("main", f"echo $$ >> {note}; exit 3"))
    pid = await crash(machine.executor.folder, workflow, note)
    await until_gone(pid)
    await machine.engine.run([workflow])
    assert named(workflow, "w").message == "main: Error (exit code 3)"
    assert len((await until(note)).splitlines()) == 1


async def test_what_was_reported_and_not_committed_is_reported_again(machine: Machine, note: Path) -> None:
    outputs = {"artifacts": [{"name": "o", "path": "/tmp/o"}]}
    workflow = workflow_of(shell("main", f"echo $$ >> {note}; echo x > /tmp/o", outputs=outputs))
    document = workflow.to_dict()
    first = await begin(machine, workflow)
    again = await begin(machine, Workflow(document))
    assert again == first
    assert len((await until(note)).splitlines()) == 1


async def test_what_died_without_a_status_is_an_error_and_leaves_nothing(machine: Machine, note: Path) -> None:
    workflow = workflow_of(shell("main", f"setsid sleep 1000 & echo $$ $! >> {note}; sleep 1000"))
    pid = await crash(machine.executor.folder, workflow, note)
    os.kill(os.getsid(pid), signal.SIGKILL)  # its supervisor
    await machine.engine.run([workflow])
    node = named(workflow, "w")
    assert (node.phase, node.message) == (
        "Error",
        "its processes were ended from outside, and left no exit code behind",
    )
    for each in (await until(note)).split():
        await until_gone(int(each))


async def test_what_could_not_be_written_down_is_an_error_that_says_why(machine: Machine) -> None:
    workflow = workflow_of(shell("main", 'rm -rf "$OARLOCK_ROOT/../containers"'))
    await machine.engine.run([workflow])
    node = named(workflow, "w")
    assert (node.phase, node.message) == (
        "Error",
        "its processes could not be gone on with (No such file or directory), and left no exit code behind",
    )


async def test_what_another_process_began_may_be_stopped(machine: Machine, note: Path) -> None:
    workflow = workflow_of(shell("main", f"echo $$ >> {note}; sleep 1000"))
    pid = await crash(machine.executor.folder, workflow, note)
    machine.executor.stop(workflow, NODE)
    await until_gone(pid)


async def test_what_was_stopped_begins_anew(machine: Machine, note: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    workflow = workflow_of(shell("main", f"echo $$ >> {note}; [ -e {go} ] || exec sleep 1000"))
    pid = await crash(machine.executor.folder, workflow, note)
    machine.executor.stop(workflow, NODE)
    go.touch()
    await machine.engine.run([workflow])
    await until_gone(pid)
    assert workflow.phase == "Succeeded"
    assert len((await until(note)).splitlines()) == 2


async def test_what_was_never_started_is_not_adopted(machine: Machine) -> None:
    workflow = workflow_of(shell("main", "true"))
    assert not machine.executor.adopt(workflow, shell("main", "true"), NODE)
    await begin(machine, workflow)
    assert machine.executor.adopt(workflow, shell("main", "true"), NODE)


async def test_an_executor_that_is_closed_leaves_what_runs(machine: Machine, note: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo $$ >> {note}; while [ ! -e {go} ]; do sleep 0.01; done; echo went on"
    workflow = workflow_of(shell("main", script))
    document = workflow.to_dict()
    await machine.engine.reconcile(workflow)
    await until(note, text="\n")
    await machine.executor.close(end_leaves=False)
    go.touch()
    other = Machine(machine.executor.folder)
    again = Workflow(document)
    await other.engine.run([again])
    assert (named(again, "w").outputs or {})["result"] == "went on"
    await other.executor.close(end_leaves=True)
    assert len((await until(note)).splitlines()) == 1
