"""What an aborted pass had already been told, for the pass that follows it.

Without it a pass of 500k calls with one failure in 100k of them would never end, nor one whose deadline passes while
wrong replies are refused. The next pass asks the same questions again; those that have the same digest (128 bits) are
answered from here, with what was no reply as well. A pass that completes drops it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.plugins.room import Answer, Room, Share, weight
from rpc import FatalError, Method
from rpc.replies import EMPTY

EMPTY_SIZE: Final = 120
"""Bytes that a chain of empty replies takes, and `ENTRY` those of an answer, besides what is in it."""
ENTRY: Final = 250


class Journal:
    """Answers by question. A question is known by the plugin, the method, and the digest of its arguments and of what
    it is about; a node may be asked about more than once in a pass.

    For nearly every node no plugin has anything to say, so a whole chain of empty replies is one entry.
    """

    __slots__ = ("_answers", "_empty", "_plugins", "_share", "kept", "resumed_at")

    def __init__(self, room: Room) -> None:
        self._share = Share(room)
        self._answers: dict[tuple[str, Method, bytes], Answer] = {}
        self._empty: dict[Method, set[bytes]] = {}
        self._plugins: object = None
        self.kept = 0
        """How often something was kept."""
        self.resumed_at: float | None = None
        """When the aborted pass began. The next one dates what it makes alike, so that its questions are the same."""

    @property
    def resuming(self) -> bool:
        """Whether there is anything in it to be found: the last pass was aborted."""
        return self.resumed_at is not None

    def begin(self, plugins: object) -> None:
        """A pass with these plugins begins; what others have answered is worth nothing."""
        if plugins != self._plugins:
            self.clear()
            self._plugins = plugins

    def keep_empty_chains(self, method: Method, digests: Iterable[bytes]) -> None:
        """No plugin had anything to say to these questions."""
        chains, added = self._empty.setdefault(method, set()), set(digests)
        if self._share.fits(EMPTY_SIZE * len(added)):
            before = len(chains)
            chains |= added
            self._share.take(EMPTY_SIZE * (len(chains) - before))
            self.kept += len(added)

    def find(self, plugin: str, method: Method, digest: bytes) -> Answer | None:
        """The plugin's answer, None where it has not answered this very question."""
        return EMPTY if digest in self._empty.get(method, ()) else self._answers.get((plugin, method, digest))

    def keep(self, plugin: str, method: Method, digest: bytes, answer: Answer) -> None:
        """The plugin has answered; one that does not know the method is as good as one with nothing to say."""
        key = plugin, method, digest
        size = ENTRY if answer is EMPTY else ENTRY + weight(answer)
        if key not in self._answers and self._share.fits(size):
            self._share.take(size)
            self.kept += 1
            # An error that was raised holds on to all that its frames do.
            self._answers[key] = answer.again() if isinstance(answer, FatalError) else answer

    def clear(self) -> None:
        """Forget everything: the pass completed, or the plugins are others now."""
        self._share.clear()
        if self._answers:
            self._answers = {}
        if self._empty:
            self._empty = {}
        self.resumed_at = None
