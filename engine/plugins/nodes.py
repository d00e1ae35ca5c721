"""The four methods about nodes, in their places: which nodes are asked about, and what comes of the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.graph import Graph, Invocation
from engine.graph.record import Job
from engine.model.node import FULFILLED, PLUGIN, RUNNING, Node
from engine.model.pace import Pieces
from engine.plugins.arguments import attempt_of
from engine.plugins.asking import Asking, Effects
from engine.plugins.calling import Caller
from engine.plugins.chain import Chain, Course
from engine.plugins.matching import wants
from engine.plugins.question import Question
from engine.templates.template import Template
from rpc import FatalError, Method, TransientError
from rpc.fanout import fan_out
from rpc.replies import LEAST_REQUEUE, NodeReply

if TYPE_CHECKING:
    from registry import Plugin

PRE: Final = Method.NODE_PRE_EXECUTE
POST: Final = Method.NODE_POST_EXECUTE
EXECUTE: Final = Method.TEMPLATE_EXECUTE
ADD: Final = Method.PARAMETERS_ADD

NOBODY_EXECUTED: Final = "no plugin executed the template"
CHUNK: Final = 256
"""Nodes that go through the plugins together, and `CHUNKS` how many times that many at once: what memory follows."""
CHUNKS: Final = 16
EXECUTE_RETRY: Final = 1.0
"""Seconds until a plugin is asked again to execute a template after a transient failure that named no delay."""

LONGEST_WAIT: Final = 300.0
"""Seconds that a Retry-After is waited for, at most: the plugin may have been mistaken."""

_OF_THE_MOMENT: Final = frozenset({"workflow.duration"})
"""Variables that are others in every pass."""


_NOBODY: Final[Mapping[Method, Sequence[Plugin]]] = dict.fromkeys((PRE, POST, EXECUTE, ADD), ())


class NodeHooks:
    """The calls for the nodes of one pass: `parameters.add`, `node.preExecute`, `template.execute`, `node.postExecute`.

    For one node the plugins form a chain, each seeing what the one before it changed; different nodes go through it at
    the same time.
    """

    def __init__(self, plugins: Sequence[Plugin], graph: Graph, document: dict[str, Any], caller: Caller) -> None:
        self._plugins = plugins
        self._graph = graph
        self._nodes = graph.store.nodes
        self._document = document
        self._caller = caller
        self._cache = caller.memory.cache
        metadata = document["metadata"]
        self._wanting = {
            method: [plugin for plugin in plugins if wants(plugin, method, metadata)]
            for method in (_NOBODY if plugins else ())
        }
        self._supporting: Mapping[Method, Sequence[Plugin]] = _NOBODY
        self._courses: dict[Method, Course] = {}
        self.refresh()

    @cached_property
    def _asking(self) -> Asking:
        return Asking.about(self._graph, self._document, self._plugins, self._caller)

    @property
    def _effects(self) -> Effects:
        return self._asking.effects

    def begin(self) -> None:
        """The walk is where it was: what every question has in common is known."""
        if not self._plugins:
            return
        variables = {name: value for name, value in dict.items(self._graph.scope) if name not in _OF_THE_MOMENT}
        self._cache.surrounded_by((self._asking.arguments.workflows, variables))

    def refresh(self) -> None:
        """Look again which plugins know which method; a wave of visits may have taught it."""
        if self._plugins:
            self._supporting = {
                method: [plugin for plugin in plugins if plugin.client.supports(method)]
                for method, plugins in self._wanting.items()
            }

    # Which nodes, and how

    def worth_visiting(self, wave: list[Invocation]) -> list[Invocation]:
        """Those of the wave to which anybody might have anything new to say."""
        unchanged, nodes = self._cache.unchanged, self._nodes
        if not unchanged or self._caller.memory.looks_for_new_methods():
            return wave
        # A walk that was begun anew, as when a plugin patched the spec, has to come by all of its nodes once.
        worth = [each for each in wave if not each.executing or unchanged.get(each.node_id) is not nodes[each.node_id]]
        self._caller.counts.nodes_unchanged += len(wave) - len(worth)
        return worth

    async def visit(self, wave: Sequence[Invocation], workers: int) -> None:
        """Call the plugins for every node of a wave and let what they answer count.

        Raises `TransientError`, and `FatalError` where the whole workflow is at fault; then no call is left in flight.
        """
        if not self._plugins:
            for some in (wave[at : at + CHUNK] for at in range(0, len(wave), CHUNK)):
                self._visit_alone(some)
                await self._caller.pace.rest()
        elif wave:
            chunks = (wave[at : at + CHUNK] for at in range(0, len(wave), CHUNK))
            at_a_time = min(-(-len(wave) // CHUNK), CHUNKS, workers)
            self._courses = self._laid_out(at_a_time, workers)
            await fan_out(partial(self._visit_chunk, max(1, workers // at_a_time)), chunks, at_a_time)

    def _laid_out(self, chunks: int, workers: int) -> dict[Method, Course]:
        return {method: Course(method, plugins, chunks, workers) for method, plugins in self._supporting.items()}

    def _visit_alone(self, chunk: Sequence[Invocation]) -> None:
        """Some nodes about which there is nobody to be asked."""
        nodes = self._nodes
        for invocation in chunk:
            template = invocation.template
            assert template is not None
            if template.silent and invocation.requeue_at is None:  # there is nothing to be said of most
                continue
            node = nodes[invocation.node_id]
            if node.phase in FULFILLED:
                continue
            if invocation.requeue_at is not None:
                self._graph.requeue(invocation, None)
            if template.text.tags and not invocation.executing and not self._check(invocation):
                continue
            if node.type == PLUGIN:
                self._effects.fail(invocation, NOBODY_EXECUTED)

    async def _visit_chunk(self, width: int, chunk: Sequence[Invocation]) -> None:
        """Some nodes, one step after the other."""
        nodes, pace = self._nodes, self._caller.pace
        ready, beginning, plugins = [], [], []
        await pace.rest()
        for invocation in chunk:
            node = nodes[invocation.node_id]
            if node.phase in FULFILLED:
                continue
            ready.append(invocation)
            if not invocation.executing:
                beginning.append(invocation)
            if node.type == PLUGIN:
                plugins.append(invocation)
            else:
                self._graph.requeue(invocation, None)  # what was wished for before is over
        if beginning:
            await self._add_parameters(beginning)
            checked, ready = ready, []
            await pace.through(self._checked(checked, ready))
        questions = list(map(Question, ready))
        await self._ask(PRE, questions)
        if self._cache.names or self._asking.filters or not self._supporting[PRE]:
            self._let_rest(questions)
        to_execute = [each for each in plugins if not nodes[each.node_id].fulfilled]
        if to_execute:
            await fan_out(self._execute, to_execute, min(len(to_execute), width))
        if self._supporting[POST]:
            await self._ask(POST, list(self._changes(chunk)))

    def _let_rest(self, questions: Iterable[Question]) -> None:
        """Do not visit these nodes again until something changes, where all that can be said of them was said."""
        undo, unchanged = self._graph.store.undo, self._cache.unchanged
        for question in questions:
            if question.empty and question.cacheable:
                invocation = question.invocation
                about = invocation.node_id
                template = invocation.resolved
                idle = invocation.executing and invocation.requeue_at is None and template.kind.started
                if idle and about not in undo and not _tells_time(template):
                    unchanged[about] = self._nodes[about]

    def _changes(self, chunk: Sequence[Invocation]) -> Iterator[Question]:
        """The nodes that this pass has changed, each with what it was before."""
        for invocation in chunk:
            self._graph.begin(invocation)
            before, node = self._graph.store.before(invocation.node_id), self._nodes[invocation.node_id]
            if _told(before) != _told(node):
                if node.phase in FULFILLED:
                    self._graph.round_off(invocation)
                yield Question(invocation, before)

    async def _ask(self, method: Method, questions: Sequence[Question]) -> None:
        if questions:
            await self._caller.pace.rest()
            await Chain(self._asking, self._courses[method]).run(questions)

    # Substitution

    async def add_parameters(self, invocations: Sequence[Invocation], workers: int) -> None:
        """Have plugins add parameters to those of the invocations for which none was asked yet: they were found."""
        self._courses = self._laid_out(1, workers)
        await self._add_parameters(invocations)
        for invocation in invocations:
            node = self._nodes[invocation.node_id]
            if node.type == PLUGIN and (text := self._effects.render(invocation)) is not None:
                self._caller.jobs.may_be(node, Job("", msgspec.Raw(text), attempt_of(invocation)))

    async def _add_parameters(self, invocations: Sequence[Invocation]) -> None:
        if not self._supporting[ADD]:
            return
        questions = []
        for invocation in (each for each in invocations if each.extra is None):
            invocation.extra = {}
            text = self._effects.render(invocation)
            if text is not None:
                questions.append(Question(invocation, text=text))
        await self._ask(ADD, questions)

    def _checked(self, invocations: Iterable[Invocation], good: list[Invocation]) -> Pieces:
        for invocation in invocations:
            if invocation.executing or self._check(invocation):
                good.append(invocation)
            yield

    def _check(self, invocation: Invocation) -> bool:
        """Whether the template names only what is there; else the node is Error."""
        if self._nodes[invocation.node_id].phase in FULFILLED:  # it was found not to be when parameters were added
            return False
        if self._supporting[PRE] or not invocation.resolved.text.tags:
            return True
        # It is for the executor, then; better to fail now than when it starts.
        return self._effects.render(invocation) is not None

    async def _execute(self, invocation: Invocation) -> None:
        """Ask plugins to execute a `plugin` template until one does. A transient failure is tried again later."""
        if invocation.requeue_at is not None and invocation.requeue_at > self._graph.now:
            return
        self._graph.requeue(invocation, None)
        text = self._effects.render(invocation)
        if text is None:
            return
        jobs = self._caller.jobs
        for plugin in self._supporting[EXECUTE]:
            if not self._asking.wants(plugin, invocation):
                continue
            node = self._nodes[invocation.node_id]
            call = self._asking.arguments.job(plugin.config.payload, invocation, text, node)
            job = Job(plugin.name, msgspec.Raw(text), attempt_of(invocation))
            jobs.may_be(node, job)
            try:
                reply = await self._caller.ask(plugin, EXECUTE, self._asking.subject(invocation), call, node)
                if not isinstance(reply, NodeReply):
                    jobs.declined(node.id, plugin.name)
                    continue
                jobs.taken(node, job)
                node = self._effects.apply(plugin, EXECUTE, invocation, reply)
            except TransientError as error:  # it may have begun all the same
                delay = min(max(error.retry_after or EXECUTE_RETRY, LEAST_REQUEUE), LONGEST_WAIT)
                self._graph.requeue(invocation, self._graph.now + delay)
                self._run(node)
                return
            except FatalError as error:
                if self._caller.passes_over(plugin):
                    continue
                self._effects.fail(invocation, str(error))
                return
            if node.fulfilled:
                jobs.over(node.id)
            else:
                self._run(node)
            return
        self._effects.fail(invocation, NOBODY_EXECUTED)

    def _run(self, node: Node) -> None:
        """From now on its limits count."""
        if node.phase != RUNNING:
            self._graph.store.touch(node.id).phase = RUNNING


_told: Final = attrgetter("phase", "message", "progress", "outputs")
"""What plugins are told of where it changes."""


def _tells_time(template: Template) -> bool:
    """Whether the template's text may be another one just because time has passed: an expression may call `now()`."""
    return any("(" in tag or any(name in tag for name in _OF_THE_MOMENT) for tag in template.text.tags)
