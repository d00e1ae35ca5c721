"""Workflows whose leaves are processes of this machine, in a folder of the test's own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, LocalExecutor, Node, Workflow


class Machine:
    """An engine whose leaves run here. ``runs`` is the folder for all runs."""

    def __init__(self, runs: Path, **options: Any) -> None:
        config_maps = options.pop("config_maps", None)
        self.executor = LocalExecutor(runs, **options)
        self.engine = Engine(executor=self.executor, config_maps=config_maps)

    async def run(self, *templates: Mapping[str, Any], **spec: Any) -> Workflow:
        """A workflow of these templates, the first of which is the entrypoint, after it has run."""
        workflow = workflow_of(*templates, **spec)
        await self.engine.run([workflow])
        return workflow

    async def log(self, workflow: Workflow, node: str, container: str = "main", *, follow_it: bool = False) -> str:
        uid = workflow.uid
        chunks = self.executor.logs(uid, named(workflow, node).id, container, follow_it=follow_it)
        return "".join([chunk.decode() async for chunk in chunks])


def workflow_of(*templates: Mapping[str, Any], **spec: Any) -> Workflow:
    metadata = {"name": "w", "uid": str(uuid.uuid4())}
    return Workflow(
        {"metadata": metadata, "spec": {"entrypoint": templates[0]["name"], "templates": templates, **spec}}
    )


def named(workflow: Workflow, display_name: str) -> Node:
    """The node that is shown under that name; of several the last."""
    return [node for node in workflow.nodes.values() if node.display_name == display_name][-1]


def parameters(node: Node) -> dict[str, str]:
    return {each["name"]: each["value"] for each in (node.outputs or {}).get("parameters") or ()}


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    """A template that runs a shell script."""
    return {"name": name, "script": {"image": "alpine", "command": ["sh"], "source": script}, **fields}


def python(name: str, source: str, **fields: Any) -> dict[str, Any]:
    """A template that runs a Python script, by the command that Hera gives."""
    return {"name": name, "script": {"image": "python:3.11", "command": ["python"], "source": source}, **fields}


def steps(name: str, *rows: list[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
    """A template of steps, each of which calls the template of its own name if it says nothing else."""
    groups = [row if isinstance(row, list) else [row] for row in rows]
    return {"name": name, "steps": [[{"template": each["name"], **each} for each in group] for group in groups]}


async def until(path: Path, *, text: str = "") -> str:
    """Wait until a leaf has written a file, and `text` into it; what is in it."""
    while True:
        found = _read(path)
        if found is not None and text in found:
            return found
        await asyncio.sleep(0.01)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path / "runs", grace=0.5)
    yield machine
    await machine.executor.close(end_leaves=True)
