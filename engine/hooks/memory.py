"""What plugins have answered, for as long as that is good: until the pass commits, or for passes to come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from engine.hooks.journal import Journal
from engine.hooks.room import JOURNALS, STANDING, Answer, Room
from engine.hooks.standing import StandingReplies
from engine.statistics import Counts
from registry import Plugin
from rpc import EMPTY, FatalError, Method, NodeReply

PRE: Final = Method.NODE_PRE_EXECUTE

Silences = Collection[tuple[str, int]]
"""Questions by node and hash."""


class Rooms:
    """Where the answers of all workflows of an engine are kept."""

    def __init__(self) -> None:
        self.journals = Room(JOURNALS)
        self.standing = Room(STANDING)


class Memory:
    """Of one workflow. Only `node.preExecute` is remembered beyond the pass: it is what every pass asks again."""

    def __init__(self, counts: Counts, rooms: Rooms) -> None:
        self.journal = Journal(rooms.journals)
        self.standing = StandingReplies(rooms.standing)
        self._counts = counts

    @property
    def heard(self) -> int:
        """How many replies were kept so far."""
        return self.journal.kept + self.standing.kept

    def abort(self, stamp: float) -> None:
        """The pass, dated `stamp`, leaves no trace: answers are good for the next one, but not what came of them."""
        self.journal.resumed_at = stamp
        self.standing.unchanged = {}

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

    def find(self, plugin: Plugin, method: Method, about: str, digest: int) -> Answer | None:
        """The plugin's answer to a question, where it need not be asked."""
        if self.is_lasting(plugin, method):
            reply = self.standing.find(plugin.name, about, digest)
            if reply is not None:
                self._counts.answers_standing += 1
                return reply
        if not self.journal.resuming:
            return None
        if self.journal.silent(method, about, digest):
            answer: Answer | None = EMPTY
        else:
            answer = self.journal.find(plugin.name, method, about, digest)
        self._counts.answers_resumed += answer is not None
        return answer.again() if isinstance(answer, FatalError) else answer

    def keep(self, plugin: Plugin, method: Method, about: str, digest: int, answer: Answer) -> None:
        """The plugin has answered; who wants to be asked again, or was wrong, is asked in the next pass."""
        asked_again = isinstance(answer, NodeReply) and answer.requeue is not None
        if isinstance(answer, FatalError) or asked_again or not self.is_lasting(plugin, method):
            self.journal.keep(plugin.name, method, about, digest, answer)
        else:
            self.standing.keep(plugin.name, about, digest, answer)

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
