"""The executors that need no cluster: one whose leaves end as a file says, and one whose leaves never end."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Sequence
from typing import Final

from engine.executors.executor import Executor, Hosted, Result
from engine.executors.outcomes import SUCCESS, Outcome, Outcomes, outputs_of
from engine.model.clock import SimulatedClock
from engine.model.node import ERROR, FAILED, RUNNING, SUCCEEDED, Node
from engine.model.workflow import Workflow
from engine.shape import Document
from engine.templates.kinds import KINDS, has_main, has_result
from engine.templates.reads import Output

_TELLING: Final = frozenset({"outputs", "containerSet", "suspend", "daemon"})
"""The fields of a template that may have a say in how its leaf ends."""

EMISSARY_FAILED: Final = "64"
"""The exit code of a container that Argo itself could not start."""

_COUNT: Final = re.compile(r"[0-9]{1,9}")


class PendingExecutor:
    """Takes every leaf and never says another word: what a loop in its steady state looks like."""

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """The leaf runs."""
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing runs that would have to be stopped."""


class SimulatedExecutor:
    """Ends every leaf as `outcomes` says, after its duration by `clock`; by default at once and well.

    An output that nobody gave is empty, or an empty list if it is among the `lists`, which a loop is over. Where these
    are given, `made_up` has those that were, in the namespace of their workflow, with the value that they were given.
    """

    def __init__(
        self,
        outcomes: Outcomes | None = None,
        clock: SimulatedClock | None = None,
        lists: Collection[Output] | None = None,
    ) -> None:
        self.outcomes = outcomes if outcomes is not None else Outcomes()
        self.lists = lists
        self.made_up: dict[Output, str] = {}
        self.clock = clock or SimulatedClock()
        self._due: list[tuple[float, int, Workflow, str, Result]] = []
        self._starts = 0
        self._running: dict[tuple[str, str], int] = {}
        """By the uid of a workflow and node, the number of its start."""
        self._usual: tuple[Document | None, str, Result | None] = None, "", None
        """The last template that was started and that nothing is said of, the namespace that it was started in, and how
        all its leaves end."""
        self._alike: dict[str, Result] = {}
        """By the name of a kind, how its leaves end of which nobody says anything, not even their template."""
        self._chosen: dict[str, dict[str, Outcome]] = {}
        """By the uid of a workflow that is not over, and node."""

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        """The leaf's result, or None where it takes its time.

        A suspended node is resumed if the outcomes name it; else it waits for somebody to do that.
        """
        usual, namespace, result = self._usual
        if template is usual and workflow.namespace == namespace:
            return result
        if not self.outcomes and self.lists is None and _TELLING.isdisjoint(template):
            result = self._plain(template)
            self._usual = template, workflow.namespace, result
            return result
        key = (workflow.uid, node.id)
        if key in self._running:
            return None
        name = str(template.get("name") or "")
        if template.get("suspend") is not None and not self.outcomes.names(workflow.key, name, node):
            return None
        outcome = self._chosen.get(workflow.uid, {}).get(node.id) or self.outcomes.of(workflow.key, name, node)
        if outcome is not SUCCESS:  # a walk begun anew may start what has been started
            self._chosen.setdefault(workflow.uid, {})[node.id] = outcome
        if template.get("daemon") and outcome.phase == SUCCEEDED and not outcome.seconds:
            return Result(RUNNING, pod_ip="127.0.0.1")
        result = self._result(workflow, outcome, template, node)
        if not outcome.seconds:
            if not self.outcomes:
                self._usual = template, workflow.namespace, result
            return result
        self._starts += 1
        self._running[key] = self._starts
        heapq.heappush(self._due, (self.clock() + outcome.seconds, self._starts, workflow, node.id, result))
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """The leaf will not report any more, and what becomes of it when it is started again is open."""
        self._running.pop((workflow.uid, node.id), None)
        self._chosen.get(workflow.uid, {}).pop(node.id, None)

    def forget(self, workflow: Workflow) -> None:
        """The workflow is over, or gone: what becomes of its leaves if they are started all the same is open."""
        self._chosen.pop(workflow.uid, None)

    @property
    def next_due(self) -> float | None:
        """When the next leaf ends, in the clock's time."""
        while self._due:
            _, start, workflow, node_id, _ = self._due[0]
            if self._running.get((workflow.uid, node_id)) == start:
                break
            heapq.heappop(self._due)  # it was stopped
        return self._due[0][0] if self._due else None

    def take_due(self, most: int | None = None) -> list[tuple[Workflow, str, Result]]:
        """The leaves that have ended by now, the first ``most`` of them: workflow, node id and result of each, in the
        order of their ends."""
        ended = list[tuple[Workflow, str, Result]]()
        while len(ended) != most and (due := self.next_due) is not None and due <= self.clock():
            _, _, workflow, node_id, result = heapq.heappop(self._due)
            del self._running[workflow.uid, node_id]
            ended.append((workflow, node_id, result))
        return ended

    def _plain(self, template: Document) -> Result:
        kind = next(name for name in KINDS if template.get(name) is not None)
        result = self._alike.get(kind)
        if result is None:
            has_exit_code, written = _has_exit_code(template), has_result(template)
            outputs = outputs_of(SUCCESS, template, default_exit_code=has_exit_code, has_result=written)
            result = self._alike[kind] = Result(SUCCEEDED, "", outputs)
        return result

    def _result(self, workflow: Workflow, outcome: Outcome, template: Document, node: Node) -> Result:
        home, called = workflow.namespace, str(template.get("name") or "")
        outputs = outputs_of(
            outcome,
            template,
            default_exit_code=_has_exit_code(template),
            has_result=has_result(template),
            make_up=lambda output: self._make_up(Output(home, called, output)),
        )
        containers = self._containers(workflow.key, template.get("containerSet") or {}, node)
        failed = next((each for each in containers.items() if each[1].phase != SUCCEEDED), None)
        if failed is not None and outcome.phase == SUCCEEDED:
            name, result = failed
            exit_code = (result.outputs or {}).get("exitCode", "1")
            left = containers["main"].outputs if "main" in containers else None
            return Result(FAILED, _exit_message(name, exit_code), left, containers=containers)
        message = outcome.message
        if outcome.phase != SUCCEEDED and not message and _is_pod(template):
            message = _exit_message("main", outputs.get("exitCode", "1"))
        return Result(outcome.phase, message, outputs, containers=containers or None)

    def _make_up(self, output: Output) -> str:
        if self.lists is None:
            return ""
        if (known := self.made_up.get(output)) is not None:
            return known
        looped = output in self.lists or output._replace(namespace="") in self.lists
        return self.made_up.setdefault(output, "[]" if looped else "")

    def _containers(self, workflow: str, group: Document, pod: Node) -> dict[str, Result]:
        """What becomes of those containers of a set that the outcomes name, and of those that wait for them in vain.

        A container whose dependency failed is not started: Argo's emissary gives up with an exit code of its own.
        """
        results: dict[str, Result] = {}
        containers: Sequence[Document] = group.get("containers") or ()
        retries = _retries(group)
        for container in containers:
            named = self.outcomes.named(workflow, container["name"], pod, retries)
            if named is not None:
                outputs = outputs_of(named, {}, default_exit_code=True, has_result=True)
                text = "" if named.phase == SUCCEEDED else f"{_exit_message(container['name'], outputs['exitCode'])}: "
                results[container["name"]] = Result(named.phase, text + named.message, outputs)
        waiting = [each for each in containers if each["name"] not in results]
        while found := [name for each in waiting if (name := self._give_up(each, results))]:
            waiting = [each for each in waiting if each["name"] not in found]
        return results

    @staticmethod
    def _give_up(container: Document, results: dict[str, Result]) -> str:
        """Note that the container gives up, if one that it depends on has failed; its name, empty if it does not."""
        for above in container.get("dependencies") or ():
            if above in results and results[above].phase != SUCCEEDED:
                exit_code = (results[above].outputs or {}).get("exitCode", "1")
                name: str = container["name"]
                message = _exit_message(name, EMISSARY_FAILED)
                message += f': dependency "{above}" exited with non-zero code: {exit_code}'
                results[name] = Result(ERROR, message, {"exitCode": EMISSARY_FAILED})
                return name
        return ""


def is_silent(executor: Executor) -> bool:
    """Whether it is one that will say nothing more of itself: of one of an embedder's nobody knows."""
    if isinstance(executor, Hosted):
        return not executor.busy
    return isinstance(executor, SimulatedExecutor | PendingExecutor)


def _retries(group: Document) -> int:
    """How often each container of the set runs again, besides the first time (Argo's ContainerSetRetryStrategy)."""
    text = str((group.get("retryStrategy") or {}).get("retries") or "")
    return int(text) if _COUNT.fullmatch(text) else 0


def _exit_message(container: str, exit_code: str) -> str:
    """How Argo says that a container failed (inferFailedReason in operator.go)."""
    return f"{container}: Error (exit code {exit_code})"


_EXIT_CODES: Final = tuple(name for name, kind in KINDS.items() if kind.exit_code)


def _has_exit_code(template: Document) -> bool:
    return has_main(template) or any(template.get(name) is not None for name in _EXIT_CODES)


def _is_pod(template: Document) -> bool:
    return any(kind.pod and template.get(name) is not None for name, kind in KINDS.items())
