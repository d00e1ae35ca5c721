"""A wave of nodes sent through the plugins without a task, a future or a turn of the event loop per call.

This is the fan-out where it is all about numbers: nodes whose plugins are asked `node.preExecute` and nothing else, and
nearly all of which answer nothing. A fixed number of visitors pull nodes from one iterator. Each is told of a reply by
the connection that read it, and asks the next plugin, or turns to the next node, on the spot (`rpc.line`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from engine.graph import Invocation
from engine.node import FULFILLED
from engine.substitution import SubstitutionError
from registry import Plugin
from rpc import EMPTY, FatalError, Line, Method, PluginError, Reply

if TYPE_CHECKING:
    from engine.hooks.nodes import NodeHooks

PRE: Final = Method.NODE_PRE_EXECUTE


class Volley:
    """One wave under way. ``plugins`` are asked in order; they all get the same payload."""

    def __init__(self, hooks: NodeHooks, plugins: Sequence[Plugin], wave: Iterable[Invocation]) -> None:
        self.hooks = hooks
        self.plugins = plugins
        self.iterator: Iterator[Invocation] = iter(wave)
        self.rest: list[Invocation] = []
        """Nodes that need more than `node.preExecute`; they are left to others."""
        self._visitors: list[Visitor] = []
        self._under_way = 0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, width: int) -> list[Invocation]:
        """Send all nodes through, at most `width` at a time; returns those that are left to others.

        Raises what the first failure that matters was; then no call is left in flight, and none is sent.
        """
        self._visitors = [Visitor(self) for _ in range(width)]
        self._under_way = width
        try:
            for visitor in self._visitors:
                visitor.turn_to_next()
            await self._over
        finally:
            for visitor in self._visitors:
                visitor.stop()
        return self.rest

    def ended(self) -> None:
        """A visitor found nothing more to do."""
        self._under_way -= 1
        if self._under_way == 0 and not self._over.done():
            self._over.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Something went wrong that ends the pass."""
        self.iterator = iter(())
        if not self._over.done():
            self._over.set_exception(error)


class Visitor:
    """Takes one node after the other through the plugins: the `rpc.Receiver` of a line to each of them."""

    __slots__ = (
        "_body",
        "_digest",
        "_hooks",
        "_invocation",
        "_lines",
        "_node",
        "_position",
        "_silent",
        "_since",
        "_volley",
    )

    def __init__(self, volley: Volley) -> None:
        self._volley = volley
        self._hooks = volley.hooks
        self._lines: list[Line] = [plugin.client.line(self) for plugin in volley.plugins]
        self._since = self._position = self._digest = 0
        self._silent = True

    def stop(self) -> None:
        """Ask nothing more; what is in flight is abandoned, what was answered is not."""
        for line in self._lines:
            line.cancel()
        asked = self._volley.plugins[self._since : self._position]
        if asked:
            self._hooks.memory.keep_silence(asked, PRE, self._node.id, self._digest)

    def turn_to_next(self) -> None:
        """Begin with the next node that has a question to be asked."""
        volley, hooks = self._volley, self._hooks
        try:
            for invocation in volley.iterator:
                node = hooks.nodes[invocation.node_id]
                if node.phase in FULFILLED:
                    continue
                if invocation.resolved.kind == "plugin":
                    volley.rest.append(invocation)
                    continue
                invocation.requeue_at = None
                if (invocation.executing or hooks.check(invocation)) and self._lines:
                    self._invocation, self._node = invocation, node
                    try:
                        self._begin()
                        return
                    except SubstitutionError as error:
                        hooks.fail(invocation, str(error))
        except Exception as error:
            volley.fail(error)
            return
        volley.ended()

    def _begin(self) -> None:
        self._make_call()
        self._silent = True
        self._lines[0].send(PRE, self._body, monotonic())

    def _make_call(self) -> None:
        """What is sent of the node as it is now; all plugins are sent the same payload."""
        call = self._hooks.arguments.node(self._volley.plugins[0].payload, self._invocation, self._node)
        self._body = call.body
        self._digest = call.digest

    def replied(self, reply: Reply | None, now: float) -> None:
        """See `rpc.Receiver`."""
        position = self._position
        if reply is EMPTY or reply is None:
            self._go_on(position + 1, now)
            return
        try:
            if self._volley.plugins[position].mode == "observe":
                position += 1
            elif not self._take(reply):
                position = len(self._lines)
            else:
                position += 1
                self._since = position
        except PluginError as error:
            self.failed(error)
            return
        except Exception as error:
            self._volley.fail(error)
            return
        self._go_on(position, now)

    def _go_on(self, position: int, now: float) -> None:
        self._position = position
        lines = self._lines
        if position < len(lines):
            lines[position].send(PRE, self._body, now)
            return
        if self._silent:
            self._hooks.memory.journal.keep_silence(PRE, self._node.id, self._digest)
        self._since = self._position = 0
        self.turn_to_next()

    def failed(self, error: PluginError) -> None:
        """See `rpc.Receiver`."""
        volley = self._volley
        if isinstance(error, FatalError):
            plugin = volley.plugins[self._position]
            self._hooks.memory.keep(plugin, PRE, self._node.id, self._digest, error)
        if self._hooks.caller.passes_over(volley.plugins[self._position]):
            if self._since <= self._position:  # else a reply was kept, and then turned out to be one that cannot count
                asked = volley.plugins[self._since : self._position]
                self._hooks.memory.keep_silence(asked, PRE, self._node.id, self._digest)
            self._silent, self._since = False, self._position + 1
            self._go_on(self._position + 1, monotonic())
        elif isinstance(error, FatalError):
            self._hooks.fail(self._invocation, str(error))
            self._since = self._position = 0
            self.turn_to_next()
        else:
            volley.fail(error)

    def _take(self, reply: Reply) -> bool:
        """Let a reply count; False where the node needs no further plugin."""
        hooks, plugin = self._hooks, self._volley.plugins[self._position]
        hooks.memory.keep_silence(self._volley.plugins[self._since : self._position], PRE, self._node.id, self._digest)
        hooks.memory.keep(plugin, PRE, self._node.id, self._digest, reply)
        self._silent = False
        self._node = node = hooks.apply(plugin, PRE, self._invocation, reply)
        if node.phase in FULFILLED:
            return False
        self._make_call()
        return True
