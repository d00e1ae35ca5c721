"""Logs are read while they are written, and afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine import Workflow
from tests.local.conftest import Machine, shell, workflow_of


async def test_a_log_is_followed_until_the_leaf_has_ended(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    workflow = workflow_of(shell("main", f"echo first; while [ ! -e {go} ]; do sleep 0.01; done; echo last"))
    await machine.engine.reconcile(workflow)
    heard = ""
    async for chunk in machine.executor.logs(workflow.uid, "w", follow_it=True):
        heard += chunk.decode()
        if "first" in heard:
            go.touch()
    assert heard.splitlines()[1:] == ["first", "last"]


async def test_without_following_it_is_what_there_is(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "echo one"))
    assert (await machine.log(workflow, "w")).splitlines()[1:] == ["one"]


async def test_containers_have_one_each(machine: Machine) -> None:
    group = [{"name": name, "command": ["echo", f"I am {name}"]} for name in ("a", "b")]
    workflow = await machine.run({"name": "main", "containerSet": {"containers": group}})
    for name in ("a", "b"):
        assert (await machine.log(workflow, "w", name)).splitlines()[1:] == [f"I am {name}"]


async def test_it_is_there_for_who_comes_later(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "echo one; exit 1"))
    later = Machine(machine.executor.folder)
    assert (await later.log(workflow, "w")).splitlines()[1:] == ["one"]


@pytest.mark.parametrize(
    ("node", "container"), [("no-such", "main"), ("w", "no-such"), ("..", "main"), ("w", "../main"), ("w", "")]
)
async def test_one_that_there_is_not(machine: Machine, node: str, container: str) -> None:
    workflow = await machine.run(shell("main", "true"))
    with pytest.raises(LookupError):
        machine.executor.logs(workflow.uid, node, container)


async def test_one_that_waits_for_its_turn_is_followed(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "runs", parallel_leaves=1)
    go, first, second = (
        tmp_path / "go",
        shell("main", ""),
        Workflow(_renamed(workflow_of(shell("main", "echo second")))),
    )
    first["script"]["source"] = f"while [ ! -e {go} ]; do sleep 0.01; done"
    await machine.engine.reconcile(workflow_of(first))
    await machine.engine.reconcile(second)
    following = asyncio.ensure_future(_all(machine, second.uid))
    await asyncio.sleep(0)
    go.touch()
    assert (await following).splitlines()[1:] == ["second"]
    await machine.executor.close(end_leaves=True)


def _renamed(workflow: Workflow) -> dict[str, Any]:
    return {**workflow.document, "metadata": {**workflow.document["metadata"], "name": "w2"}}


async def _all(machine: Machine, uid: str) -> str:
    return "".join([chunk.decode() async for chunk in machine.executor.logs(uid, "w2", follow_it=True)])
