"""The executor of the soak: it writes down every start, and tells later, in its own time, what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from engine import Engine, Node, OperationError, Result, Workflow
from tests.soak.ledger import Ledger, Promise
from tests.soak.peers.sound import word_of

TICK: Final = 0.1
"""Seconds between two rounds of reports."""
_TAKES: Final = (0.02, 1.5)
_AT_ONCE: Final = 0.2
_SAID_AGAIN: Final = 0.1
"""Shares of the leaves that are over when they start, and of which something else is said once they are over."""


class Leaves:
    """What was started, by workflow and node id, until `forget`."""

    def __init__(self, ledger: Ledger, dice: random.Random) -> None:
        self.busy: set[str] = set()
        """Workflows with a pass under way: what their nodes say is not committed. Whoever sees the passes keeps it."""
        self._ledger = ledger
        self._dice = dice
        self._started: dict[str, dict[str, str]] = {}
        self._said: dict[tuple[str, str], Result] = {}
        self._due: list[tuple[float, int, Workflow, str, Result]] = []
        self._order = itertools.count()

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        """Take a leaf. A template that was substituted wrongly, a node that is not committed or started shows here."""
        started = self._started.setdefault(workflow.key, {})
        which = f"{workflow.key} {node.name} ({node.id})"
        self._ledger.expect(Promise.STARTED_ONCE, node.id not in started, f"{which} was started again")
        committed = workflow.nodes.get(node.id)
        self._ledger.expect(
            Promise.NOTHING_LOST,
            committed is not None and committed.phase == "Running",
            f"{which} was started while {committed and committed.phase}",
        )
        if template["name"] == "told":
            word = template["container"]["command"][1]
            self._ledger.expect(Promise.APPLIED_ONCE, word == word_of(workflow.name), f"{which} was told {word!r}")
        started[node.id] = template["name"]
        result = _result(template["name"], node)
        if result is None:
            return None
        if self._dice.random() < _AT_ONCE:
            self._said[workflow.key, node.id] = result
            return result
        self._later(self._dice.uniform(*_TAKES), workflow, node.id, result)
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Only what hangs is ever stopped."""
        template = self._started.get(workflow.key, {}).get(node.id)
        self._ledger.expect(Promise.NOTHING_LOST, template == "hangs", f"{workflow.key} {node.name} was stopped")

    def _later(self, seconds: float, workflow: Workflow, node_id: str, result: Result) -> None:
        heapq.heappush(self._due, (monotonic() + seconds, next(self._order), workflow, node_id, result))

    async def report(self, engine: Engine) -> None:
        """Go on telling `engine` what became of leaves."""
        while True:
            while self._due and self._due[0][0] <= monotonic():
                _, _, workflow, node_id, result = heapq.heappop(self._due)
                said = self._said.get((workflow.key, node_id))
                over = workflow.finished or (workflow.key not in self.busy and workflow.nodes[node_id].fulfilled)
                if said is None and not over:
                    self._said[workflow.key, node_id] = result
                    if self._dice.random() < _SAID_AGAIN:
                        again = self._dice.choice((result, Result("Error", "said too late")))
                        self._later(self._dice.uniform(0.0, 2.0), workflow, node_id, again)
                elif not over and result is not said:
                    self._later(1.0, workflow, node_id, result)  # now it would be the last word, and count
                    continue
                with contextlib.suppress(OperationError):  # it was said too late
                    engine.report(workflow, node_id, result)
            await asyncio.sleep(TICK)

    def judge(self, workflow: Workflow, starts: Counter[str]) -> None:
        """The workflow is over: its leaves are those that were to be started, and each is what was said of it."""
        started = self._started.pop(workflow.key, {})
        same = Counter(started.values()) == starts
        self._ledger.expect(Promise.NOTHING_LOST, same, f"{workflow.key} started {Counter(started.values())}")
        pods = {node.id for node in workflow.nodes.values() if node.type == "Pod"}
        self._ledger.expect(Promise.NOTHING_LOST, pods == set(started), f"{workflow.key}: {pods ^ set(started)}")
        for node_id in started:
            said = self._said.pop((workflow.key, node_id), None)
            node = workflow.nodes[node_id]
            if said is None:
                kept = started[node_id] == "hangs" and node.phase == "Failed"
            else:
                kept = node.phase == said.phase and node.outputs == said.outputs
            self._ledger.expect(Promise.NOTHING_LOST, kept, f"{workflow.key} {node.name}: {node.phase} {node.outputs}")


def _result(template: str, node: Node) -> Result | None:
    """What becomes of a leaf: its template's name says it. None for one that never ends."""
    if template == "hangs":
        return None
    if template == "fails" or (template == "again" and node.name.endswith("(0)")):
        return Result("Failed", outputs={"exitCode": "1"})
    return Result("Succeeded", outputs={"exitCode": "0", "result": f"the result of {node.id}"})
