"""What an executor is told of a workflow that is retried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never

from engine import Engine, Node, Workflow
from tests.engine.operations.driving import drive, reloaded
from tests.engine.operations.test_retrying import FAILED, retry


def test_it_forgets_the_leaves_that_run_again() -> None:
    work = drive("templates: [{name: main, steps: [[{name: a, template: leaf}], [{name: b, template: gen}]]}]", FAILED)
    ran = drive(reloaded(work.workflow), "{}", retry())
    assert ran.executor.stopped == ["b"]
    assert ran.started == ["b"]


def test_it_is_told_nothing_of_suspends_that_it_was_never_given() -> None:
    work = drive(
        "templates: [{name: main, steps: [[{name: w, template: wait}, {name: a, template: leaf}]]}]",
        "{}",
        lambda engine, work: engine.stop(work),
    ).workflow
    assert work.phase == "Failed"
    stopped = []

    class Own:
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> None:
            return None

        def stop(self, workflow: Workflow, node: Node) -> None:
            stopped.append(node.display_name)

    Engine(executor=Own()).retry(work, restart_successful=True, node_field_selector="displayName=a")
    assert stopped == ["a"]


def test_one_that_fails_to_do_so_does_not_keep_the_workflow_from_going_on() -> None:
    work = drive("templates: [{name: main, steps: [[{name: a, template: gen}]]}]", FAILED).workflow

    class Stubborn:
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Never:
            raise AssertionError("nothing is started by an operation")

        def stop(self, workflow: Workflow, node: Node) -> Never:
            raise OSError("no such pod")

    Engine(executor=Stubborn()).retry(work)
    assert work.phase == "Running"
