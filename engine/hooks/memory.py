"""What plugins have answered, for as long as that is good: until the pass commits, or for passes to come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from engine.hooks.journal import Journal
from engine.hooks.standing import StandingReplies
from engine.statistics import Counts
from registry import Plugin
from rpc import EMPTY, Method, NodeReply, Reply

PRE: Final = Method.NODE_PRE_EXECUTE

Silences = Collection[tuple[str, int]]
"""Questions by node and hash."""


class Memory:
    """Of one workflow. Only `node.preExecute` is remembered beyond the pass: it is what every pass asks again."""

    def __init__(self, counts: Counts) -> None:
        self.journal = Journal()
        self.standing = StandingReplies()
        self._counts = counts

    def begin(self, plugins: Sequence[Plugin], now: float) -> None:
        """A pass with these plugins begins at `now`: forget what is worth nothing any more."""
        self.journal.begin(plugins)
        self.standing.begin(plugins, now)

    def is_lasting(self, plugin: Plugin, method: Method) -> bool:
        """Whether the plugin's replies stand."""
        return method is PRE and plugin.name in self.standing.names

    def asks_anew(self, plugin: Plugin, method: Method) -> bool:
        """Whether the plugin has to be asked, whatever the question is."""
        return not self.journal.resuming and not self.is_lasting(plugin, method)

    def find(self, plugin: Plugin, method: Method, about: str, digest: int) -> Reply | None:
        """The plugin's answer to a question, where it need not be asked."""
        if self.is_lasting(plugin, method):
            reply = self.standing.find(plugin.name, about, digest)
            if reply is not None:
                self._counts.answers_standing += 1
                return reply
        if not self.journal.resuming:
            return None
        if self.journal.silent(method, about, digest):
            reply = EMPTY
        else:
            reply = self.journal.find(plugin.name, method, about, digest)
        self._counts.answers_resumed += reply is not None
        return reply

    def keep(self, plugin: Plugin, method: Method, about: str, digest: int, reply: Reply) -> None:
        """The plugin has answered; who wants to be asked again is, in the next pass."""
        stands = not (isinstance(reply, NodeReply) and reply.requeue is not None)
        if stands and self.is_lasting(plugin, method):
            self.standing.keep(plugin.name, about, digest, reply)
        else:
            self.journal.keep(plugin.name, method, about, digest, reply)

    def keep_silence(self, plugins: Sequence[Plugin], method: Method, about: str, digest: int) -> None:
        """These plugins were asked, and had nothing to say."""
        for plugin in plugins:
            self.keep(plugin, method, about, digest, EMPTY)

    def keep_silences(self, method: Method, stand: Silences, rest: Silences) -> None:
        """No plugin had anything to say to these questions: to those that ``stand`` only lasting ones were asked."""
        if method is PRE and self.standing.names:
            self.standing.keep_silences(stand)
            self.standing.keep_silences(rest)
        self.journal.keep_silences(method, rest)
