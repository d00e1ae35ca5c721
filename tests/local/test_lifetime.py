"""How long leaves run: until they end, are stopped or out of time; daemons; how many at a time."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from engine import LocalExecutor, Workflow
from engine.executors.local import lifeline
from tests import ports
from tests.local.conftest import Machine, named, python, shell, steps, until, workflow_of
from tests.processes import is_alive


def _is_there(path: Path) -> bool:
    return path.exists()


async def until_gone(pid: int) -> None:
    while True:
        if not is_alive(pid):
            return
        await asyncio.sleep(0.01)


async def stop_once_it_has_said(machine: Machine, workflow: Workflow, note: Path) -> list[int]:
    """Stop a workflow when its leaf has noted process ids, and wait for its end."""
    running = asyncio.create_task(machine.engine.run([workflow]))
    pids = [int(each) for each in (await until(note, text="\n")).split()]
    machine.engine.stop(workflow)
    await running
    return pids


async def test_stopping_ends_the_whole_process_group(machine: Machine, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    workflow = workflow_of(shell("main", f"sleep 1000 & sleep 1000 & echo $$ $! > {note}; wait"))
    pids = await stop_once_it_has_said(machine, workflow, note)
    assert named(workflow, "w").phase == "Failed"
    for pid in pids:
        await until_gone(pid)


async def test_it_is_ended_also_where_that_cannot_be_written_down(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "touch", touch)
    note = tmp_path / "pids"
    workflow = workflow_of(shell("main", f"echo $$ > {note}; sleep 1000"))
    for pid in await stop_once_it_has_said(machine, workflow, note):
        await until_gone(pid)


async def test_what_cannot_be_started_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = os.open

    def opened(path: Path, flags: int) -> int:
        if path.name == "events":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return open_(path, flags)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(OSError, match="Too many open files"):
        lifeline.start(tmp_path)
    monkeypatch.undo()
    assert not lifeline.is_alive(tmp_path)


async def test_what_does_not_heed_sigterm_is_killed(machine: Machine, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    workflow = workflow_of(shell("main", f"trap '' TERM; echo $$ > {note}; while true; do sleep 0.05; done"))
    (pid,) = await stop_once_it_has_said(machine, workflow, note)
    await until_gone(pid)


async def test_what_heeds_sigterm_has_time_to(tmp_path: Path) -> None:
    machine, note, end = Machine(tmp_path / "runs", grace=1000), tmp_path / "pids", tmp_path / "end"
    script = f"trap 'sleep 0.1; echo > {end}; exit 0' TERM; echo $$ > {note}; while true; do sleep 0.01; done"
    await stop_once_it_has_said(machine, workflow_of(shell("main", script)), note)
    await until(end)
    await machine.executor.close(end_leaves=True)


async def test_what_a_leaf_leaves_behind_ends_with_it(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "sleep 1000 & echo $!"))
    await until_gone(int((named(workflow, "w").outputs or {})["result"]))


async def test_a_leaf_of_what_the_engine_was_told_to_forget_ends_quietly(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note, go_on = tmp_path / "pids", tmp_path / "go-on"
    script = f"echo $$ > {note}; while [ ! -e {go_on} ]; do sleep 0.01; done"
    workflow = workflow_of(shell("main", script))
    running = asyncio.create_task(machine.engine.run([workflow]))
    await until(note, text="\n")
    await machine.engine.forget(workflow)
    await running
    go_on.touch()
    (task,) = machine.executor._tasks
    await task
    (said,) = [each.getMessage() for each in caplog.records if "report refused" in each.getMessage()]
    assert "default/w: this engine does not have the workflow" in said


async def test_a_deadline_ends_it(machine: Machine, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    workflow = await machine.run(shell("main", f"echo $$ > {note}; exec sleep 1000", activeDeadlineSeconds=1))
    assert named(workflow, "w").message == "Pod was active on the node longer than the specified deadline"
    await until_gone(int(await until(note)))


async def test_each_attempt_begins_anew(machine: Machine, tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = f"[ ! -e /tmp/mine ] && touch /tmp/mine; echo x >> {count}; [ $(wc -l < {count}) = 3 ]"
    workflow = await machine.run(shell("main", script, retryStrategy={"limit": 5}))
    assert workflow.phase == "Succeeded"
    assert await until(count) == "x\nx\nx\n"
    assert named(workflow, "w(0)").message == "main: Error (exit code 1)"


async def test_a_leaf_that_is_retried_begins_anew(machine: Machine, tmp_path: Path) -> None:
    pass_it = tmp_path / "pass"
    workflow = await machine.run(shell("main", f"echo run; [ -e {pass_it} ]"))
    assert workflow.phase == "Failed"
    pass_it.touch()
    machine.engine.retry(workflow)
    await machine.engine.run([workflow])
    assert workflow.phase == "Succeeded"
    assert (await machine.log(workflow, "w")).count("run") == 1


async def test_only_so_many_run_at_a_time_and_the_others_in_their_order(tmp_path: Path) -> None:
    machine, log = Machine(tmp_path / "runs", parallel_leaves=1), tmp_path / "log"
    rows = [{"name": f"n{number}", "template": "leaf", "arguments": arguments(number)} for number in range(4)]
    script = f"echo begin {{{{inputs.parameters.n}}}} >> {log}; sleep 0.01; echo end >> {log}"
    workflow = await machine.run(steps("main", rows), shell("leaf", script, inputs={"parameters": [{"name": "n"}]}))
    assert workflow.phase == "Succeeded"
    assert await until(log) == "".join(f"begin {number}\nend\n" for number in range(4))


def arguments(number: int) -> dict[str, object]:
    return {"parameters": [{"name": "n", "value": number}]}


async def test_one_that_waits_for_its_turn_may_be_stopped(tmp_path: Path) -> None:
    machine, note = Machine(tmp_path / "runs", parallel_leaves=1, grace=0.5), tmp_path / "pids"
    first, second = (workflow_of(shell("main", f"echo $$ >> {note}; sleep 1000")) for _ in range(2))
    second = Workflow({**second.document, "metadata": {**second.document["metadata"], "name": "w2"}})
    running = asyncio.create_task(machine.engine.run([first, second]))
    await until(note, text="\n")
    machine.engine.stop(second)
    machine.engine.stop(first)
    await running
    await machine.executor.close(end_leaves=True)
    assert len((await until(note)).splitlines()) == 1


async def test_one_that_is_stopped_before_it_has_begun_is_over(machine: Machine) -> None:
    """In the very turn of the event loop in which it was started."""
    workflow = workflow_of(shell("main", "sleep 1000"))
    await machine.engine.reconcile(workflow)
    await machine.engine.delete(workflow)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not machine.executor.busy
    await machine.executor.forget(workflow)


class TestDaemons:
    SERVER = (
        "import http.server, os\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "open('{note}', 'w').write(f'{{server.server_port}} {{os.getpid()}}\\n')\n"
        "server.serve_forever()\n"
    )

    async def test_one_runs_beside_its_successors_and_ends_with_its_boundary(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        note = tmp_path / "port"
        server = python("server", self.SERVER.format(note=note), daemon=True)
        server["script"]["readinessProbe"] = {"exec": {"command": ["test", "-e", str(note)]}, "periodSeconds": 0.05}
        source = "import urllib.request as u; print(u.urlopen('http://{{inputs.parameters.host}}').status)"
        client = python("client", source, inputs={"parameters": [{"name": "host"}]})
        find = shell("find", f"cut -d' ' -f1 {note}")
        host = "{{steps.server.ip}}:{{steps.find.outputs.result}}"
        ask = {"name": "client", "arguments": {"parameters": [{"name": "host", "value": host}]}}
        workflow = await machine.run(steps("main", {"name": "server"}, {"name": "find"}, ask), server, find, client)
        assert workflow.phase == "Succeeded", [(node.display_name, node.message) for node in workflow.nodes.values()]
        assert (named(workflow, "client").outputs or {})["result"] == "200"
        assert named(workflow, "server").phase == "Succeeded"
        await until_gone(int((await until(note)).split()[1]))

    @pytest.mark.parametrize(
        "probe",
        [{"httpGet": {"path": "/", "port": "http"}}, {"tcpSocket": {"port": "http"}}, {"httpGet": {"port": "http"}}],
    )
    async def test_one_is_up_when_its_probe_says_so(self, machine: Machine, probe: dict[str, object]) -> None:
        (port,) = ports.free()
        source = self.SERVER.replace("0), http", f"{port}), http").format(note="/tmp/port")
        server = python("server", source, daemon=True)
        server["script"] |= {
            "ports": [{"name": "http", "containerPort": port}],
            "readinessProbe": {**probe, "periodSeconds": 0.05},
        }
        client = python("client", f"import socket; socket.create_connection(('127.0.0.1', {port}))")
        workflow = await machine.run(steps("main", {"name": "server"}, {"name": "client"}), server, client)
        assert workflow.phase == "Succeeded"

    async def test_one_that_is_up_takes_nobodys_turn(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, parallel_leaves=1, grace=0.5)
        server, client = shell("server", "sleep 1000", daemon=True), shell("client", "true")
        workflow = await machine.run(steps("main", {"name": "server"}, {"name": "client"}), server, client)
        assert workflow.phase == "Succeeded"

    async def test_one_that_ends_has_failed(self, machine: Machine) -> None:
        server, client = shell("server", "exit 2", daemon=True), {"name": "client", "suspend": {}}
        workflow = await machine.run(steps("main", {"name": "server"}, {"name": "client"}), server, client)
        assert named(workflow, "server").phase == "Failed"
        assert named(workflow, "server").message == "main: Error (exit code 2)"


async def test_a_run_does_not_wait_where_nobody_will_go_on(machine: Machine) -> None:
    workflow = await machine.run(
        steps("main", {"name": "leaf"}, {"name": "wait"}), shell("leaf", "true"), {"name": "wait", "suspend": {}}
    )
    assert named(workflow, "leaf").phase == "Succeeded"
    assert not workflow.finished
    machine.engine.resume(workflow)
    await machine.engine.run([workflow])
    assert workflow.phase == "Succeeded"


class TestForgetting:
    async def test_a_workflows_folder_is_removed(self, machine: Machine) -> None:
        workflow = await machine.run(shell("main", "mkdir -p /tmp/a/b; chmod 500 /tmp/a; exit 1"))
        folder = machine.executor.folder_of(workflow)
        assert _is_there(folder)
        machine.executor.forget(workflow)
        await machine.executor.close(end_leaves=True)
        assert not _is_there(folder)

    async def test_what_runs_is_ended_first(self, machine: Machine, tmp_path: Path) -> None:
        note, workflow = tmp_path / "pids", workflow_of(shell("main", f"echo $$ > {tmp_path}/pids; sleep 1000"))
        await machine.engine.reconcile(workflow)
        pid = int(await until(note, text="\n"))
        machine.executor.forget(workflow.uid)
        await until_gone(pid)
        await machine.executor.close(end_leaves=True)
        assert not _is_there(machine.executor.folder_of(workflow))


@pytest.mark.parametrize("folder", ["with space", "with'quote", "with$dollar"])
def test_a_folder_that_means_something_in_a_shell_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="expected a path of letters, digits and"):
        LocalExecutor(tmp_path / folder)
