"""Some nodes on their way through the plugins of one method, each plugin sent what the one before it made of a node.

Which questions are asked is decided here; how they travel, in batches or one by one, is the client's business, and how
an answer counts is decided in `engine.hooks.nodes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.hooks.calling import may_fail
from engine.hooks.question import Question
from engine.hooks.room import Answer
from registry import Plugin
from rpc import EMPTY, CallBatch, FatalError, Method, Outcomes, PluginError, Reply

if TYPE_CHECKING:
    from engine.hooks.nodes import NodeHooks


class Chain:
    """The plugins of one method, in order, for the nodes of one chunk."""

    def __init__(self, hooks: NodeHooks, method: Method, width: int) -> None:
        self._hooks = hooks
        self._memory = hooks.memory
        self._method = method
        self._plugins = hooks.supporting(method)
        self._width = width
        self._asked: list[Question] = []
        self._batch: CallBatch | None = None
        """What was asked last, if nobody had anything to say to it: the next plugin may be asked just the same."""
        self._payload = ""

    async def run(self, questions: Sequence[Question]) -> None:
        """Ask all plugins about all nodes. Raises `TransientError`; what was answered until then is remembered."""
        position = 0
        try:
            for position, plugin in enumerate(self._plugins):
                await self._ask(plugin, position, questions)
        except BaseException:
            for question in questions:
                self._keep_silence(question, position)
            raise
        silent = [it for it in questions if it.silent and it.digest]
        fickle = [(it.invocation.node_id, it.digest) for it in silent if not it.lasting]
        stand = [(it.invocation.node_id, it.digest) for it in silent if it.lasting] if len(fickle) < len(silent) else []
        self._memory.keep_silences(self._method, stand=stand, rest=fickle)
        for question in [it for it in questions if not it.silent]:
            self._keep_silence(question, len(self._plugins))

    async def _ask(self, plugin: Plugin, position: int, questions: Sequence[Question]) -> None:
        batch = self._batch
        if batch is None or not self._is_asked_the_same(plugin):
            batch = self._select(plugin, position, questions)
        else:
            for question in questions:
                question.lasting = False
        asked, self._batch = self._asked, None
        if not asked:
            return
        outcomes: Outcomes = [None] * len(asked)
        try:
            await self._send(plugin, batch, outcomes)
        except BaseException:
            for question, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, Reply | FatalError):
                    self._keep(plugin, question, outcome)
            raise
        if outcomes.count(EMPTY) == len(outcomes) and len(asked) == len(questions):
            self._batch, self._payload = batch, plugin.config.payload
            return
        for question, outcome in zip(asked, outcomes, strict=True):
            assert outcome is not None
            self._take(plugin, position, question, outcome)

    def _is_asked_the_same(self, plugin: Plugin) -> bool:
        """Whether the plugin is asked what the one before it was, without a look at each question."""
        same = plugin.config.payload == self._payload and plugin.name not in self._hooks.filters
        return same and self._memory.asks_anew(plugin, self._method)

    def _select(self, plugin: Plugin, position: int, questions: Sequence[Question]) -> CallBatch:
        """The questions to send to the plugin, left in `_asked`; those whose answer is known get it."""
        memory, method, payload = self._memory, self._method, plugin.config.payload
        wanted = self._wanted(plugin, questions)
        stale = [it for it in wanted if it.call is None or it.payload != payload]
        if position:
            for question in stale:
                self._keep_silence(question, position)
                question.since = position
        for question, error in self._hooks.arguments.renew(payload, stale):
            self._hooks.fail(question.invocation, str(error))
            question.silent = False
            self._end(question)
        if not memory.is_lasting(plugin, method):
            for question in wanted:
                question.lasting = False
        if memory.asks_anew(plugin, method):
            self._asked, wanted = [it for it in wanted if not it.over], []
        else:
            self._asked = []
        for question in wanted:
            if question.over:
                continue
            known = memory.find(plugin, method, question.invocation.node_id, question.digest)
            if known is None:
                self._asked.append(question)
            else:
                self._take(plugin, position, question, known)
        return CallBatch(
            self._hooks.arguments.workflows[payload], [it.call for it in self._asked if it.call is not None]
        )

    def _wanted(self, plugin: Plugin, questions: Sequence[Question]) -> Sequence[Question]:
        """What the plugin wants to be asked of what is still open."""
        filter_, nodes = self._hooks.filters.get(plugin.name), self._hooks.nodes
        if filter_ is None:
            return [it for it in questions if not it.over]
        return [
            it
            for it in questions
            if not it.over and filter_.wants(it.invocation.resolved, nodes[it.invocation.node_id])
        ]

    async def _send(self, plugin: Plugin, batch: CallBatch, outcomes: Outcomes) -> None:
        """Give each call an outcome. Raises `TransientError` where the plugin may not fail."""
        self._hooks.caller.patience.ask(plugin.name)
        await plugin.client.ask(self._method, batch, outcomes, tolerant=may_fail(plugin), width=self._width)

    def _take(self, plugin: Plugin, position: int, question: Question, outcome: Reply | PluginError) -> None:
        """Let what came of a question count."""
        if outcome is EMPTY or (plugin.config.mode == "observe" and isinstance(outcome, Reply)):
            return
        hooks = self._hooks
        self._keep_silence(question, position)
        question.silent, question.since = False, position + 1
        try:
            if not isinstance(outcome, Reply | FatalError):
                raise outcome
            self._keep(plugin, question, outcome)
            if isinstance(outcome, FatalError):
                raise outcome
            question.call = None
            node = hooks.apply(plugin, self._method, question.invocation, outcome)
        except PluginError as error:
            if not hooks.caller.passes_over(plugin):
                self._end(question)
                hooks.fatal(self._method, question.invocation, error)
        else:
            if self._method is Method.NODE_PRE_EXECUTE and node.fulfilled:
                self._end(question)

    def _end(self, question: Question) -> None:
        """Ask no other plugin."""
        question.over, question.since = True, len(self._plugins)

    def _keep(self, plugin: Plugin, question: Question, answer: Answer) -> None:
        self._memory.keep(plugin, self._method, question.invocation.node_id, question.digest, answer)

    def _keep_silence(self, question: Question, position: int) -> None:
        """The plugins before `position` that were asked this have had nothing to say to it."""
        if question.digest:
            asked = self._plugins[question.since : position]
            self._memory.keep_silence(asked, self._method, question.invocation.node_id, question.digest)
