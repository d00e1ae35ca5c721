"""Workflows written as YAML in a test, run to their end with simulated leaves on a clock that only jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import yaml

from engine import Engine, Node, Outcome, Outcomes, Result, SimulatedExecutor, Workflow
from engine.model.clock import SimulatedClock

START = 1_700_000_000.0

LEAVES = """
- {name: leaf, container: {image: busybox}}
- {name: gen, script: {image: python, source: print()}}
- name: echo
  inputs: {parameters: [{name: text}]}
  container: {image: busybox, args: ["{{inputs.parameters.text}}"]}
- name: give
  container: {image: busybox}
  outputs: {parameters: [{name: v, valueFrom: {path: /v}}]}
- name: file
  container: {image: busybox}
  outputs: {artifacts: [{name: a, path: /a}]}
- name: read
  inputs: {artifacts: [{name: a, path: /a}]}
  container: {image: busybox}
- name: maybe-read
  inputs: {artifacts: [{name: a, path: /a, optional: true}]}
  container: {image: busybox}
- {name: wait, suspend: {}}
"""
"""Templates that every workflow here has: what it calls needs no second thought."""


class Recorder(SimulatedExecutor):
    """Notes what it is given to run, and what it is told to stop."""

    def __init__(self, outcomes: Outcomes) -> None:
        super().__init__(outcomes, SimulatedClock(lambda: START))
        self.started: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, int] = {}
        """When leaves were started, in seconds after `START`, by display name."""
        self.stopped: list[str] = []

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        """Note the substituted template by the node's display name."""
        self.started[node.display_name] = dict(template)
        self.begun[node.display_name] = int(self.clock() - START)
        return super().start(workflow, template, node)

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Note the node's display name."""
        self.stopped.append(node.display_name)
        super().stop(workflow, node)


@dataclass
class Ran:
    """A workflow at its end, or where it hangs."""

    workflow: Workflow
    executor: Recorder
    waiting_for: str
    nodes: dict[str, Node] = field(init=False)
    """By display name; the last one counts where several have the same."""

    def __post_init__(self) -> None:
        self.nodes = {node.display_name: node for node in self.workflow.nodes.values()}

    @property
    def phase(self) -> str:
        return self.workflow.phase

    @property
    def message(self) -> str:
        return self.workflow.message

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.workflow.document["status"]
        return status

    @property
    def phases(self) -> dict[str, str]:
        """All phases by display name."""
        return {name: node.phase for name, node in self.nodes.items()}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def text(self, name: str) -> str:
        """What an `echo` was given."""
        return str(self.executor.started[name]["container"]["args"][0])

    def children(self, name: str) -> list[str]:
        """The display names of a node's children."""
        return [self.workflow.nodes[child].display_name for child in self.nodes[name].children or ()]

    def inputs(self, name: str) -> dict[str, Any]:
        """The values of a node's input parameters."""
        inputs = orjson.loads(bytes(self.nodes[name].inputs or b"{}"))
        return {each["name"]: each.get("value") for each in inputs.get("parameters") or ()}

    def outputs(self, name: str) -> dict[str, Any]:
        """The values of a node's output parameters."""
        outputs = self.nodes[name].outputs or {}
        return {each["name"]: each.get("value") for each in outputs.get("parameters") or ()}

    def artifacts(self, name: str, side: str = "outputs") -> dict[str, Any]:
        """The artifacts of a node, by name."""
        node = self.nodes[name]
        found = node.outputs if side == "outputs" else orjson.loads(bytes(node.inputs or b"{}"))
        return {each["name"]: each for each in (found or {}).get("artifacts") or ()}


def workflow(spec: str, name: str = "wf", **metadata: Any) -> Workflow:
    """A workflow that begins with the template `main`, unless its spec says otherwise."""
    document = yaml.load(spec, yaml.CSafeLoader)
    known = {template.get("name") for template in document.get("templates") or ()}
    leaves = [template for template in yaml.load(LEAVES, yaml.CSafeLoader) if template["name"] not in known]
    templates = [*(document.get("templates") or ()), *leaves]
    if document.get("workflowTemplateRef"):
        templates = []
    whole = {"entrypoint": "main", **document, "templates": templates}
    if not templates:
        del whole["templates"], whole["entrypoint"]
        whole.update(document)
    return Workflow({"kind": "Workflow", "metadata": {"name": name, **metadata}, "spec": whole})


def outcomes(text: str) -> Outcomes:
    """An outcomes file."""
    document = yaml.load(text, yaml.CSafeLoader) or {}
    return Outcomes(
        {
            key: msgspec.convert(value if isinstance(value, list) else [value], list[Outcome])
            for key, value in document.items()
        }
    )


def run(spec: str | Workflow, ends: str = "", *, timeout: float = 3600.0 * 24 * 365, **options: Any) -> Ran:
    """Run one workflow; `ends` is an outcomes file, `options` are those of `Engine`."""
    work = workflow(spec) if isinstance(spec, str) else spec
    executor = Recorder(outcomes(ends))
    return asyncio.run(_run(work, executor, timeout, options))


async def _run(work: Workflow, executor: Recorder, timeout: float, options: dict[str, Any]) -> Ran:
    async with Engine(executor=executor, **options) as engine:
        await engine.run([work], timeout=timeout)
        return Ran(work, executor, "" if work.finished else engine.waiting_for(work))
