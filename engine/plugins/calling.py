"""Asking a plugin on behalf of one workflow: whose failures matter, and what need not be asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.model.node import Node
from engine.model.pace import Pace
from engine.model.statistics import Counts
from engine.plugins.arguments import digest
from engine.plugins.changes import changes_of_node, changes_of_workflow
from engine.plugins.jobs import Jobs
from engine.plugins.memory import Memory
from engine.plugins.patience import Patience
from rpc import FatalError, Method, PluginError, TransientError
from rpc.batches import Call, CallBatch
from rpc.journeys import Journeys
from rpc.replies import EMPTY, Reply
from rpc.spans import Subject

if TYPE_CHECKING:
    from engine.recording.recording import Recording
    from registry import Plugin
    from rpc.window import Outcomes


def may_fail(plugin: Plugin) -> bool:
    """Whether the plugin's failures are passed over: it is to be ignored then, or its replies never count anyway."""
    return plugin.config.failure_policy == "ignore" or plugin.config.mode == "observe"


class Caller:
    """Asks plugins on behalf of one workflow: passes over the failures of those that may fail, remembers what they
    have answered and execute."""

    def __init__(self, memory: Memory, counts: Counts, pace: Pace, recording: Recording | None, jobs: Jobs) -> None:
        self.memory = memory
        self.counts = counts
        self.pace = pace
        self.jobs = jobs
        self.patience = Patience()
        """That of the pass under way."""
        self.recording = recording
        """Whom to tell of the calls; None where nobody wants to know."""

    def passes_over(self, plugin: Plugin) -> bool:
        """Whether a failure of this plugin does not matter, which is then counted."""
        if may_fail(plugin):
            self.counts.failures_passed_over += 1
            return True
        return False

    async def recorded(self) -> Journeys | None:
        """What to ask with where calls are recorded; a disk that cannot keep up is waited for."""
        return await self.recording.journeys() if self.recording is not None else None

    async def ask(
        self, plugin: Plugin, method: Method, subject: Subject | None, call: Call, about: Node | dict[str, Any]
    ) -> Reply:
        """The plugin's reply if it is to count, else `EMPTY`. Raises `TransientError` and `FatalError`.

        `subject` is the node, None where the question is about the workflow; `about` is it as it is now, or the
        workflow's document.
        """
        node_id = "" if subject is None else subject.id
        key = digest(node_id, call)
        answer = self.memory.find(plugin, method, node_id, key)
        batch = CallBatch(b"", (call,), None if subject is None else lambda place: subject)
        try:
            if answer is None:
                answer = await self._answer(plugin, method, batch, key, about)
                self.memory.keep(plugin, method, node_id, key, answer)
            elif answer is not EMPTY:
                self._tell(plugin, method, batch, key, about, answer, None, known=True)
            if isinstance(answer, FatalError):
                raise answer
        except PluginError:
            if not self.passes_over(plugin):
                raise
            return EMPTY
        return EMPTY if plugin.config.mode == "observe" else answer

    async def _answer(
        self, plugin: Plugin, method: Method, batch: CallBatch, key: bytes, about: Node | dict[str, Any]
    ) -> Reply | FatalError:
        journeys = await self.recorded()
        self.patience.ask(plugin.name)
        outcomes: Outcomes = [None]
        try:
            await plugin.client.ask(method, batch, outcomes, journeys=journeys)
            outcome = outcomes[0] or EMPTY
            if isinstance(outcome, TransientError):
                raise outcome
        except TransientError as error:
            self._tell(plugin, method, batch, key, about, error, journeys)
            raise
        self._tell(plugin, method, batch, key, about, outcome, journeys)
        return outcome

    def _tell(
        self,
        plugin: Plugin,
        method: Method,
        batch: CallBatch,
        key: bytes,
        about: Node | dict[str, Any],
        outcome: Reply | PluginError,
        journeys: Journeys | None,
        *,
        known: bool = False,
    ) -> None:
        """Have a call recorded, before what was answered counts."""
        if self.recording is None or (known and plugin.config.mode == "observe"):
            return
        node = about if isinstance(about, Node) else None
        subjects = self.recording.subjects([key], batch, lambda: [node], again=True)
        if outcome is EMPTY:
            if journeys is not None:
                self.recording.silent(plugin.name, method, subjects, journeys)
            return
        changed, refused = (
            changes_of_node(plugin.name, method, about, outcome, tolerated=may_fail(plugin))
            if isinstance(about, Node)
            else changes_of_workflow(plugin.name, method, about, outcome, tolerated=may_fail(plugin))
        )
        self.recording.said(
            plugin.name, method, node, outcome,
            subject=subjects.each[0] if subjects is not None else b"",
            journey=journeys.by_place().get(0) if journeys else None,
            known=known, changed=changed, refused=refused, observed=plugin.config.mode == "observe",
        )  # fmt: skip
