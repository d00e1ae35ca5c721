"""What plugins have answered, for as long as that is good: until the pass commits, or for passes to come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from engine.model.statistics import Counts
from engine.plugins.cache import ReplyCache
from engine.plugins.journal import Journal
from engine.plugins.room import CACHES, JOURNALS, Answer, Room
from rpc import FatalError, Method
from rpc.replies import NodeReply

if TYPE_CHECKING:
    from registry import Plugin

PRE: Final = Method.NODE_PRE_EXECUTE

Questions = Collection[tuple[str, bytes]]
"""By node and digest."""


class Rooms:
    """Where the answers of all workflows of an engine are kept."""

    def __init__(self) -> None:
        self.journals = Room(JOURNALS)
        self.caches = Room(CACHES)


class Memory:
    """Of one workflow. Only `node.preExecute` is remembered beyond the pass: it is what every pass asks again."""

    def __init__(self, counts: Counts, rooms: Rooms) -> None:
        self.journal = Journal(rooms.journals)
        self.cache = ReplyCache(rooms.caches)
        self._counts = counts
        self.in_doubt: frozenset[str] = frozenset()
        """Plugins that did not have `node.preExecute` and may have it by now: what is cached is not what they say."""
        self._looked_for: frozenset[str] = frozenset()
        """Those of them for which all nodes were worth a visit already."""

    @property
    def heard(self) -> int:
        """How many replies were kept so far."""
        return self.journal.kept + self.cache.kept

    def abort(self, stamp: float) -> None:
        """The pass, dated `stamp`, leaves no trace: answers are good for the next one, but not what came of them."""
        self.journal.resumed_at = stamp
        self.cache.unchanged = {}
        self._looked_for = frozenset()

    def begin(self, plugins: Sequence[Plugin], now: float) -> None:
        """A pass with these plugins begins at `now`: forget what is worth nothing any more."""
        self.journal.begin(plugins)
        self.cache.begin(plugins, now)
        in_doubt = frozenset(plugin.name for plugin in plugins if plugin.client.in_doubt(PRE))
        self._looked_for &= in_doubt
        self.in_doubt = in_doubt - self._looked_for

    def looks_for_new_methods(self) -> bool:
        """Whether all nodes are worth a visit, since a plugin may have something to say that had not: so once only."""
        self._looked_for |= self.in_doubt
        return bool(self.in_doubt)

    def is_cacheable(self, plugin: Plugin, method: Method) -> bool:
        """Whether the plugin's replies may be used again."""
        return method is PRE and plugin.name in self.cache.names and plugin.name not in self.in_doubt

    def asks_anew(self, plugin: Plugin, method: Method) -> bool:
        """Whether the plugin has to be asked, whatever the question is."""
        return not self.journal.resuming and not self.is_cacheable(plugin, method)

    def find(self, plugin: Plugin, method: Method, about: str, digest: bytes) -> Answer | None:
        """The plugin's answer to a question, where it need not be asked."""
        if self.is_cacheable(plugin, method):
            reply = self.cache.find(plugin.name, about, digest)
            if reply is not None:
                self._counts.answers_cached += 1
                return reply
        if not self.journal.resuming:
            return None
        answer = self.journal.find(plugin.name, method, digest)
        self._counts.answers_resumed += answer is not None
        return answer.again() if isinstance(answer, FatalError) else answer

    def keep(self, plugin: Plugin, method: Method, about: str, digest: bytes, answer: Answer) -> None:
        """The plugin has answered; who wants to be asked again, or was wrong, is asked in the next pass."""
        asked_again = isinstance(answer, NodeReply) and answer.requeue is not None
        if isinstance(answer, FatalError) or asked_again or not self.is_cacheable(plugin, method):
            self.journal.keep(plugin.name, method, digest, answer)
        else:
            self.cache.keep(plugin.name, about, digest, answer)

    def keep_empty_chains(self, method: Method, cached: Questions, rest: Questions) -> None:
        """No plugin had anything to say to these: ``cached`` went only to those whose replies are cacheable."""
        if method is PRE and self.cache.names:
            self.cache.keep_empty_chains(cached)
            self.cache.keep_empty_chains(rest)
        self.journal.keep_empty_chains(method, [digest for _, digest in rest])
