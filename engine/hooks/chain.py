"""Some nodes on their way through the plugins of one method, each plugin sent what the one before it made of a node.

Which questions are asked is decided here; how they travel, in batches or one by one, is the client's business, and how
an answer counts is decided in `engine.hooks.nodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.graph import Invocation
from engine.hooks.calling import may_fail
from engine.substitution import SubstitutionError
from registry import Plugin
from rpc import EMPTY, Bundle, Call, FatalError, Method, NodeReply, Outcomes, PluginError, Reply, TransientError
from rpc.fanout import fan_out

if TYPE_CHECKING:
    from engine.hooks.nodes import NodeHooks


def digest_of(call: Call) -> int:
    """By what a question is known to those who remember answers: 64 bits of all its arguments."""
    return hash((call.head, call.rest))


class Question:
    """What a method asks about one node. ``about`` makes its call, as the node is now, with a payload."""

    __slots__ = ("about", "call", "digest", "invocation", "lasting", "over", "payload", "silent", "since")

    def __init__(self, invocation: Invocation, about: Callable[[str], Call]) -> None:
        self.invocation = invocation
        self.about = about
        self.call: Call | None = None
        """The last one made, with `payload`; None where the node has changed since, or there was none."""
        self.payload = ""
        self.digest = 0
        """Of the last call; 0 where there was none."""
        self.since = 0
        """The place of the first plugin that was asked this."""
        self.silent = True
        """Whether nobody has had anything to say so far, or failed."""
        self.lasting = True
        """Whether the replies of all that were asked stand."""
        self.over = False
        """Whether the rest of the plugins is not asked."""


class Chain:
    """The plugins of one method, in order, for the nodes of one chunk."""

    def __init__(self, hooks: NodeHooks, method: Method, width: int) -> None:
        self._hooks = hooks
        self._method = method
        self._plugins = hooks.supporting(method)
        self._width = width
        self._asked: list[Question] = []
        self._bundle: Bundle | None = None
        """What was asked last, if nobody had anything to say to it: the next plugin may be asked just the same."""
        self._payload = ""
        self._fickle = False
        """Whether all questions were sent to a plugin whose replies do not stand."""

    async def run(self, questions: Sequence[Question]) -> None:
        """Ask all plugins about all nodes. Raises `TransientError`; what was answered until then is remembered."""
        position = 0
        try:
            for position, plugin in enumerate(self._plugins):
                await self._ask(plugin, position, questions)
        except BaseException:
            for question in questions:
                self._remember_silence(question, position)
            raise
        for question in questions:
            if question.silent:
                lasting = question.lasting and not self._fickle
                self._hooks.remember_chain(self._method, question.invocation, question.digest, lasting=lasting)
            else:
                self._remember_silence(question, len(self._plugins))

    async def _ask(self, plugin: Plugin, position: int, questions: Sequence[Question]) -> None:
        bundle = self._bundle if plugin.payload == self._payload and self._hooks.asks_anew(plugin) else None
        if bundle is None:
            bundle = self._select(plugin, position, questions)
        else:
            self._fickle = True
        asked, self._bundle = self._asked, None
        if not asked:
            return
        outcomes: Outcomes = [None] * len(asked)
        try:
            await self._send(plugin, bundle, outcomes)
        except BaseException:
            for question, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, Reply):
                    self._remember(plugin, question, outcome)
            raise
        if outcomes.count(EMPTY) == len(outcomes) and len(asked) == len(questions):
            self._bundle, self._payload = bundle, plugin.payload
            return
        for question, outcome in zip(asked, outcomes, strict=True):
            assert outcome is not None
            self._take(plugin, position, question, outcome)

    def _select(self, plugin: Plugin, position: int, questions: Sequence[Question]) -> Bundle:
        """The questions to send to the plugin, left in `_asked`; those whose answer is known get it."""
        hooks, method, payload = self._hooks, self._method, plugin.payload
        filter_, lasting = hooks.filters.get(plugin.name), hooks.lasting(plugin)
        calls: list[Call] = []
        self._asked = []
        for question in questions:
            if question.over:
                continue
            invocation = question.invocation
            if filter_ is not None and not filter_.wants(invocation.resolved, hooks.nodes[invocation.node_id]):
                continue
            question.lasting = question.lasting and lasting
            call = question.call
            if call is None or question.payload != payload:
                self._remember_silence(question, position)
                question.since, question.payload = position, payload
                try:
                    call = question.call = question.about(payload)
                except SubstitutionError as error:
                    hooks.fail(invocation, str(error))
                    question.over, question.silent = True, False
                    continue
                question.digest = digest_of(call)
            known = hooks.known(plugin, method, invocation.node_id, question.digest)
            if known is None:
                self._asked.append(question)
                calls.append(call)
            else:
                self._take(plugin, position, question, known)
        return Bundle(hooks.workflow(payload), calls)

    async def _send(self, plugin: Plugin, bundle: Bundle, outcomes: Outcomes) -> None:
        """Give each call an outcome. Raises `TransientError` where the plugin may not fail."""
        client, method, tolerant = plugin.client, self._method, may_fail(plugin)
        if client.takes_batches(method) is not False:
            await client.exchange_batch(method, bundle, outcomes, tolerant=tolerant)

        async def ask(place: int) -> None:
            try:
                outcomes[place] = await client.exchange(method, bundle.calls[place].body) or EMPTY
            except FatalError as error:
                outcomes[place] = error
            except TransientError as error:
                if not tolerant:
                    raise
                outcomes[place] = error

        if None in outcomes:
            left = [place for place, outcome in enumerate(outcomes) if outcome is None]
            await fan_out(ask, left, min(len(left), self._width))

    def _take(self, plugin: Plugin, position: int, question: Question, outcome: Reply | PluginError) -> None:
        """Let what came of a question count."""
        if outcome is EMPTY or (plugin.mode == "observe" and isinstance(outcome, Reply)):
            return
        hooks = self._hooks
        self._remember_silence(question, position)
        question.silent, question.since = False, position + 1
        try:
            if isinstance(outcome, PluginError):
                raise outcome
            self._remember(plugin, question, outcome)
            question.call = None
            node = hooks.apply(plugin, self._method, question.invocation, outcome)
        except PluginError as error:
            if not hooks.caller.passes_over(plugin):
                question.over = True
                hooks.fatal(self._method, question.invocation, error)
        else:
            question.over = self._method is Method.NODE_PRE_EXECUTE and node.fulfilled

    def _remember(self, plugin: Plugin, question: Question, reply: Reply) -> None:
        stands = not (isinstance(reply, NodeReply) and reply.requeue is not None)
        self._hooks.remember(plugin, self._method, question.invocation.node_id, question.digest, reply, stands=stands)

    def _remember_silence(self, question: Question, position: int) -> None:
        """The plugins before `position` that were asked this have had nothing to say to it."""
        if question.digest:
            for plugin in self._plugins[question.since : position]:
                self._hooks.remember(plugin, self._method, question.invocation.node_id, question.digest, EMPTY)
