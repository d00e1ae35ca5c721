"""The executors that need no cluster: one whose leaves end as a file says, and one whose leaves never end."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any, Final

from engine.clock import SimulatedClock
from engine.execution import Result
from engine.node import FAILED, RUNNING, SUCCEEDED, Node
from engine.outcomes import SUCCESS, Outcome, Outcomes, outputs_of
from engine.workflow import Workflow

Document = Mapping[str, Any]

POD_KINDS: Final = ("container", "script", "containerSet", "resource", "data")


class PendingExecutor:
    """Takes every leaf and never says another word: what a loop in its steady state looks like."""

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """The leaf runs."""
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing runs that would have to be stopped."""


class SimulatedExecutor:
    """Ends every leaf as `outcomes` says, after its duration by `clock`; by default at once and well."""

    def __init__(self, outcomes: Outcomes | None = None, clock: SimulatedClock | None = None) -> None:
        self.outcomes = outcomes or Outcomes()
        self.clock = clock or SimulatedClock()
        self._due: list[tuple[float, int, str, str, Result]] = []
        self._starts = 0
        self._running: set[tuple[str, str]] = set()
        self._chosen: dict[tuple[str, str], Outcome] = {}

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """The leaf's result, or None where it takes its time.

        A suspended node is resumed if the outcomes name it; else it waits for somebody to do that.
        """
        key = (workflow.key, node.id)
        if key in self._running:
            return None
        name = str(template.get("name") or "")
        if template.get("suspend") is not None and not self.outcomes.names(name, node):
            return None
        outcome = self._chosen.get(key) or self.outcomes.of(name, node)
        if outcome is not SUCCESS:
            self._chosen[key] = outcome  # a walk begun anew may start what has been started
        if template.get("daemon") and outcome.phase == SUCCEEDED and not outcome.seconds:
            return Result(RUNNING, pod_ip="127.0.0.1")
        result = self._result(outcome, template)
        if not outcome.seconds:
            return result
        self._starts += 1
        self._running.add(key)
        heapq.heappush(self._due, (self.clock() + outcome.seconds, self._starts, workflow.key, node.id, result))
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """The leaf will not report any more, and what becomes of it when it is started again is open."""
        self._running.discard((workflow.key, node.id))
        self._chosen.pop((workflow.key, node.id), None)

    @property
    def next_due(self) -> float | None:
        """When the next leaf ends, in the clock's time."""
        while self._due and (self._due[0][2], self._due[0][3]) not in self._running:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self) -> list[tuple[str, str, Result]]:
        """The leaves that have ended by now: workflow key, node id and result of each, in the order of their ends."""
        ended = []
        while (due := self.next_due) is not None and due <= self.clock():
            _, _, key, node_id, result = heapq.heappop(self._due)
            self._running.discard((key, node_id))
            ended.append((key, node_id, result))
        return ended

    def _result(self, outcome: Outcome, template: Document) -> Result:
        is_pod = any(template.get(kind) is not None for kind in POD_KINDS)
        outputs = outputs_of(outcome, template, default_exit_code=is_pod, has_result=_has_result(template))
        containers = {
            container["name"]: named
            for container in (template.get("containerSet") or {}).get("containers") or ()
            if (named := self.outcomes.named(container["name"])) is not None
        }
        phase, message = outcome.phase, outcome.message
        results = {
            name: Result(named.phase, named.message, outputs_of(named, {}, default_exit_code=True, has_result=True))
            for name, named in containers.items()
        }
        failed = [name for name, result in results.items() if result.phase != SUCCEEDED]
        if failed and phase == SUCCEEDED:
            phase, message = FAILED, f"container {failed[0]!r} failed"
            outputs = dict(results[failed[0]].outputs or {})
        if phase != SUCCEEDED and not message and "exitCode" in outputs:
            message = f"Error (exit code {outputs['exitCode']})"
        return Result(phase, message, outputs, containers=results or None)


def _has_result(template: Document) -> bool:
    """Whether what the leaf writes to its standard output is its result (Argo's HasOutput)."""
    containers = (template.get("containerSet") or {}).get("containers") or ()
    kinds = ("container", "script", "data", "http", "plugin")
    return any(template.get(kind) is not None for kind in kinds) or any(each["name"] == "main" for each in containers)
