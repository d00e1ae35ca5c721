"""A shard's executor is given leaves together that share a template, so that they travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine import Engine, Node, Result, Workflow
from engine.executors.executor import StartingMany
from tests.acceptance.manifests import container, workflow
from tests.cluster.doubles import Document, Leaves, approval, fan, until

LARGE = 150


class Many(Leaves):
    """Ends leaves well in the next turn of the loop, which it is given many at a time."""

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self.engine = Engine(executor=self)
        self.given: list[tuple[Document, list[str]]] = []

    def start_all(self, workflow: Workflow, template: Document, nodes: Sequence[Node]) -> None:
        self.given.append((template, [node.display_name for node in nodes]))
        for node in nodes:
            self.engine.report(workflow, node.id, Result("Succeeded"))

    @property
    def names(self) -> list[str]:
        return [name for _, names in self.given for name in names]


def items(*values: str) -> Workflow:
    """A leaf for each value, which is in its template."""
    arguments = {"parameters": [{"name": "v", "value": "{{item}}"}]}
    step = {"name": "a", "template": "leaf", "arguments": arguments, "withItems": list(values)}
    leaf = {**container("leaf"), "inputs": {"parameters": [{"name": "v"}]}}
    leaf["container"] = {"image": "busybox", "args": ["{{inputs.parameters.v}}"]}
    return workflow({"name": "main", "steps": [[step]]}, leaf)


async def test_leaves_that_share_a_template_are_given_together() -> None:
    many = Many()
    assert isinstance(many, StartingMany)
    work = fan("wide", width=LARGE)
    await many.engine.run([work])
    assert work.phase == "Succeeded"
    assert many.names == [f"a({number}:{number})" for number in range(LARGE)] + ["b"]
    assert len(many.given) < LARGE / 10
    assert many.engine.stats.leaves_started == LARGE + 1
    assert not many.started


async def test_each_is_given_with_its_own_template() -> None:
    many = Many()
    work = items("x", "y", "y", "x")
    await many.engine.run([work])
    assert work.phase == "Succeeded"
    args = [template["container"]["args"] for template, names in many.given for _ in names]
    assert args == [["x"], ["y"], ["y"], ["x"]]


async def test_what_nobody_runs_is_not_given() -> None:
    many = Many()
    work = approval()
    running = asyncio.create_task(many.engine.run([work]))
    await until(lambda: len(work.nodes) > 2)
    await many.engine.resume(work)
    await running
    assert work.phase == "Succeeded"
    assert many.names == ["b"]


async def test_leaves_that_could_not_be_handed_on_are_errors() -> None:
    class Failing(Many):
        def start_all(self, workflow: Workflow, template: Document, nodes: Sequence[Node]) -> None:
            raise ValueError("no way")

    work = fan("failing")
    await Failing().engine.run([work])
    assert work.phase == "Failed"
    leaves = [node for node in work.nodes.values() if node.type == "Pod"]
    assert {(node.phase, node.message) for node in leaves} == {("Error", "ValueError: no way")}
    assert len(leaves) == 3
