"""What a recorder is told of the calls about the nodes of one chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.model.node import Node
from engine.plugins.calling import may_fail
from engine.plugins.changes import changes_of_node
from engine.plugins.question import Question
from rpc import Method, PluginError, TransientError
from rpc.batches import CallBatch
from rpc.journeys import Journey, Journeys
from rpc.replies import EMPTY, Reply

if TYPE_CHECKING:
    from engine.recording.bodies import Subjects
    from engine.recording.recorder import Changes
    from engine.recording.recording import Recording
    from registry import Plugin
    from rpc.window import Outcomes


class Telling:
    """Of one method. To be told before what was answered counts."""

    def __init__(self, recording: Recording, method: Method, nodes: Mapping[str, Node]) -> None:
        self._recording = recording
        self._method = method
        self._nodes = nodes
        self._batch: CallBatch | None = None
        self._subjects: Subjects | None = None

    def answered(
        self,
        plugin: Plugin,
        subjects: Subjects | None,
        asked: Sequence[Question],
        outcomes: Outcomes,
        journeys: Journeys | None,
        *,
        silent: bool,
    ) -> None:
        """A plugin has answered these questions, or failed to; ``silent`` where it had nothing to say to any."""
        if silent:
            if journeys is not None:
                self._recording.silent(plugin.name, self._method, subjects, journeys)
            return
        self._tell(plugin, asked, outcomes, journeys.by_place() if journeys is not None else {}, subjects)

    def broken_off(
        self,
        plugin: Plugin,
        subjects: Subjects | None,
        asked: Sequence[Question],
        outcomes: Outcomes,
        journeys: Journeys | None,
        why: BaseException,
    ) -> None:
        """The pass is aborted while a plugin was being asked these questions: nothing of this counts."""
        if journeys is None:
            return
        travelled = journeys.by_place()
        reason = why.reason if isinstance(why, TransientError) else ""
        given: Outcomes = list(outcomes)
        for place, journey in travelled.items():
            outcome = journey.request.outcome
            if given[place] is None:
                told = reason if isinstance(why, TransientError) and why.outcome is outcome else ""
                given[place] = TransientError(plugin.name, self._method, told, outcome=outcome)
        self._tell(plugin, asked, given, travelled, subjects, counts=False)

    def known(self, plugin: Plugin, question: Question, answer: Reply | PluginError) -> None:
        """The answer was given before, and is let count now."""
        if answer is EMPTY or plugin.config.mode == "observe":
            return
        node, changed, refused = self._effect(plugin, question, answer)
        if (changed or refused) and question.call is not None:
            subjects = self.subjects(CallBatch(b"", [question.call]), [question])
            self._recording.said(
                plugin.name, self._method, node, answer,
                subject=subjects.each[0] if subjects is not None else b"", known=True, changed=changed, refused=refused,
            )  # fmt: skip

    def _effect(self, plugin: Plugin, question: Question, outcome: Reply | PluginError) -> tuple[Node, Changes, str]:
        invocation = question.invocation
        node = self._nodes[invocation.node_id]
        tolerated, parameters = may_fail(plugin), invocation.extra
        return node, *changes_of_node(
            plugin.name, self._method, node, outcome, tolerated=tolerated, parameters=parameters
        )

    def subjects(self, batch: CallBatch, asked: Sequence[Question]) -> Subjects | None:
        """What lines say of questions that are about to be asked; the next plugin may be asked just the same."""
        if batch is not self._batch:
            nodes = self._nodes

            def about() -> list[Node]:
                return [nodes[it.invocation.node_id] for it in asked]

            again, self._batch = self._batch is not None, batch
            self._subjects = self._recording.subjects([it.digest for it in asked], batch, about, again=again)
        return self._subjects

    def _tell(
        self,
        plugin: Plugin,
        asked: Sequence[Question],
        outcomes: Outcomes,
        travelled: Mapping[int, Journey],
        subjects: Subjects | None,
        *,
        counts: bool = True,
    ) -> None:
        if travelled:
            empty = [place for place, outcome in enumerate(outcomes) if outcome is EMPTY]
            self._recording.silent_at(travelled, plugin.name, self._method, subjects, empty)
        for place, (question, outcome) in enumerate(zip(asked, outcomes, strict=True)):
            if outcome is None or outcome is EMPTY:
                continue
            node, changed, refused = self._effect(plugin, question, outcome)
            if not counts:
                changed, refused = {}, ""
            self._recording.said(
                plugin.name, self._method, node, outcome,
                subject=subjects.each[place] if subjects is not None else b"", journey=travelled.get(place),
                changed=changed, refused=refused, observed=plugin.config.mode == "observe",
            )  # fmt: skip
