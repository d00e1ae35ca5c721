"""Some nodes on their way through the plugins of one method, each plugin sent what the one before it made of a node.

Which questions are asked is decided here; how they travel, in batches or one by one, is the client's business, and what
an answer does to a node is decided in `engine.plugins.asking`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from engine.plugins.asking import Asking
from engine.plugins.calling import may_fail
from engine.plugins.question import Question
from engine.plugins.room import Answer
from engine.plugins.telling import Telling
from rpc import FatalError, Method, PluginError
from rpc.batches import CallBatch
from rpc.replies import EMPTY, Reply
from rpc.spans import Subject

if TYPE_CHECKING:
    from registry import Plugin
    from rpc.window import Outcomes


class Course:
    """The plugins of one method, in order, for the chunks of one wave, ``chunks`` of them at a time.

    ``workers`` is how many calls travel one by one at most, at all of the plugins together. Chunks that begin together
    would all be with the first plugin, then all with the second, and the other plugins would have nothing to do: so
    only some may be with each. Where chunks wait for a plugin it is the slow one, and gets their calls, too.
    """

    def __init__(self, method: Method, plugins: Sequence[Plugin], chunks: int, workers: int) -> None:
        self.method = method
        self.plugins = plugins
        self._each = max(1, workers // chunks)
        self._abreast = max(1, chunks // max(1, len(plugins)))
        self._places = [asyncio.Semaphore(self._abreast) for _ in plugins]
        self._present = [0] * len(plugins)

    @asynccontextmanager
    async def turn(self, position: int) -> AsyncIterator[int]:
        """The turn of a chunk with the plugin at `position`: how many of its calls may travel at a time."""
        self._present[position] += 1
        try:
            async with self._places[position]:
                present = self._present[position]
                yield self._each * present // min(present, self._abreast)
        finally:
            self._present[position] -= 1


class Chain:
    """The nodes of one chunk on their course."""

    def __init__(self, asking: Asking, course: Course) -> None:
        self._asking = asking
        self._effects = asking.effects
        self._memory = asking.caller.memory
        self._method = course.method
        self._plugins = course.plugins
        self._course = course
        recording = asking.caller.recording
        self._telling = Telling(recording, course.method, asking.nodes) if recording is not None else None
        self._all: CallBatch | None = None
        """All questions, for as long as nobody has anything to say to them: each plugin may be asked just the same."""
        self._payload = ""

    async def run(self, questions: Sequence[Question]) -> None:
        """Ask all plugins about all nodes. Raises `TransientError`; what was answered until then is remembered.

        And `FatalError` where an answer was to say what a template means, and the whole workflow is at fault.
        """
        position = 0
        try:
            for position, plugin in enumerate(self._plugins):
                await self._ask(plugin, position, questions)
        except BaseException:
            for question in questions:
                self._keep_empty(question, position)
            raise
        empty = [it for it in questions if it.empty and it.digest]
        passing = [(it.invocation.node_id, it.digest) for it in empty if not it.cacheable]
        cached = (
            [(it.invocation.node_id, it.digest) for it in empty if it.cacheable] if len(passing) < len(empty) else []
        )
        self._memory.keep_empty_chains(self._method, cached=cached, rest=passing)
        for question in [it for it in questions if not it.empty]:
            self._keep_empty(question, len(self._plugins))

    async def _ask(self, plugin: Plugin, position: int, questions: Sequence[Question]) -> None:
        if not plugin.client.supports(self._method):  # which others have found out meanwhile
            return
        asked, batch = questions, self._all
        if batch is None or not self._is_asked_the_same(plugin):
            asked, batch = self._select(plugin, position, questions)
        else:
            for question in questions:
                question.cacheable = False
        if not asked:
            return
        outcomes: Outcomes = [None] * len(asked)
        caller, telling = self._asking.caller, self._telling
        subjects = telling.subjects(batch, asked) if telling is not None else None
        journeys = await caller.recorded() if telling is not None else None
        caller.patience.ask(plugin.name)
        tolerant = may_fail(plugin)
        try:
            async with self._course.turn(position) as width:
                await plugin.client.ask(
                    self._method, batch, outcomes, tolerant=tolerant, width=width, journeys=journeys
                )
        except BaseException as error:
            if telling is not None:
                telling.broken_off(plugin, subjects, asked, outcomes, journeys, error)
            for question, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, Reply | FatalError):
                    self._keep(plugin, question, outcome)
            raise
        silent = outcomes.count(EMPTY) == len(outcomes)
        if telling is not None:
            telling.answered(plugin, subjects, asked, outcomes, journeys, silent=silent)
        if silent:
            if len(asked) == len(questions):
                self._all, self._payload = batch, plugin.config.payload
            return
        for question, outcome in zip(asked, outcomes, strict=True):
            assert outcome is not None
            self._take(plugin, position, question, outcome)

    def _is_asked_the_same(self, plugin: Plugin) -> bool:
        """Whether the plugin is asked what the one before it was, without a look at each question."""
        same = plugin.config.payload == self._payload and plugin.name not in self._asking.filters
        return same and self._memory.asks_anew(plugin, self._method)

    def _select(
        self, plugin: Plugin, position: int, questions: Sequence[Question]
    ) -> tuple[Sequence[Question], CallBatch]:
        """The questions to send to the plugin, also as calls; those whose answer is known get it."""
        memory, method, payload = self._memory, self._method, plugin.config.payload
        open_ = [it for it in questions if not it.over]
        if plugin.name in self._asking.filters:
            open_ = [it for it in open_ if self._asking.wants(plugin, it.invocation)]
        stale = [it for it in open_ if it.call is None or it.payload != payload]
        if position:
            for question in stale:
                self._keep_empty(question, position)
                question.since = position
        if stale:
            self._all = None
        for question, error in self._asking.arguments.renew(payload, stale):
            self._effects.fail(question.invocation, str(error))
            question.empty = False
            self._end(question)
        if not memory.is_cacheable(plugin, method):
            for question in open_:
                question.cacheable = False
        asked = []
        if memory.asks_anew(plugin, method):
            asked, open_ = [it for it in open_ if not it.over], []
        for question in open_:
            if question.over:
                continue
            known = memory.find(plugin, method, question.invocation.node_id, question.digest)
            if known is None:
                asked.append(question)
            else:
                if self._telling is not None:
                    self._telling.known(plugin, question, known)
                self._take(plugin, position, question, known)
        calls, asking = [it.call for it in asked if it.call is not None], self._asking

        def about(place: int) -> Subject:  # not by `self`: that refers to the batch
            return asking.subject(asked[place].invocation)

        return asked, CallBatch(self._asking.arguments.workflows[payload], calls, about)

    def _take(self, plugin: Plugin, position: int, question: Question, outcome: Reply | PluginError) -> None:
        """Let what came of a question count."""
        if outcome is EMPTY or (plugin.config.mode == "observe" and isinstance(outcome, Reply)):
            return
        self._all = None
        self._keep_empty(question, position)
        question.empty, question.since = False, position + 1
        try:
            if not isinstance(outcome, Reply | FatalError):
                raise outcome
            self._keep(plugin, question, outcome)
            if isinstance(outcome, FatalError):
                raise outcome
            question.call = None
            node = self._effects.apply(plugin, self._method, question.invocation, outcome)
        except PluginError as error:
            if not self._asking.caller.passes_over(plugin):
                self._end(question)
                if self._method is Method.PARAMETERS_ADD:
                    raise
                self._effects.fail(question.invocation, str(error))
        else:
            if self._method is Method.NODE_PRE_EXECUTE and node.fulfilled:
                self._end(question)

    def _end(self, question: Question) -> None:
        """Ask no other plugin."""
        question.over, question.since = True, len(self._plugins)

    def _keep(self, plugin: Plugin, question: Question, answer: Answer) -> None:
        self._memory.keep(plugin, self._method, question.invocation.node_id, question.digest, answer)

    def _keep_empty(self, question: Question, position: int) -> None:
        """The plugins before `position` that were asked this have had nothing to say to it."""
        if question.digest:
            for plugin in self._plugins[question.since : position]:
                self._keep(plugin, question, EMPTY)
