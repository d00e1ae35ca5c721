"""What an aborted pass had already been told, for the pass that follows it.

Without it a pass of 500k calls with one failure in 100k of them would never end, nor one whose deadline passes while
wrong replies are refused. The next pass asks the same questions again; those that are the same to the byte are answered
from here, with what was no reply as well. A pass that completes drops it all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine.hooks.room import Answer, Room, Share, weight
from rpc import EMPTY, FatalError, Method

SILENCE: Final = 100
"""Bytes that a chain of silence takes, and `ENTRY` those of an answer, besides what is in it."""
ENTRY: Final = 250


class Journal:
    """Answers by question. A question is known by the plugin, the method, what it is about (a node's id, or nothing for
    the workflow), and the 64-bit hash of its arguments; a node may be asked about more than once in a pass.

    For nearly every node no plugin has anything to say, so a whole chain of silence is one entry: `keep_silence`.
    """

    __slots__ = ("_answers", "_plugins", "_share", "_silent", "kept", "resumed_at")

    def __init__(self, room: Room) -> None:
        self._share = Share(room)
        self._answers: dict[tuple[str, Method, str, int], Answer] = {}
        self._silent: dict[Method, set[int]] = {method: set() for method in Method}
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

    def silent(self, method: Method, about: str, digest: int) -> bool:
        """Whether no plugin had anything to say to this."""
        return hash((about, digest)) in self._silent[method]

    def keep_silence(self, method: Method, about: str, digest: int) -> None:
        """No plugin had anything to say to this."""
        self.keep_silences(method, ((about, digest),))

    def keep_silences(self, method: Method, silences: Collection[tuple[str, int]]) -> None:
        """The same of many nodes, each with its question's hash."""
        chains = self._silent[method]
        if self._share.fits(SILENCE * len(silences)):
            before = len(chains)
            chains.update(map(hash, silences))
            self._share.take(SILENCE * (len(chains) - before))
            self.kept += len(silences)

    def find(self, plugin: str, method: Method, about: str, digest: int) -> Answer | None:
        """The plugin's answer, None where it has not answered this very question."""
        return self._answers.get((plugin, method, about, digest)) if self._answers else None

    def keep(self, plugin: str, method: Method, about: str, digest: int, answer: Answer) -> None:
        """The plugin has answered; one that does not know the method is as good as silent."""
        key = plugin, method, about, digest
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
        for method, chains in self._silent.items():
            if chains:
                self._silent[method] = set()
        self.resumed_at = None
