"""What an aborted pass had already been told, for the pass that follows it.

Without it a pass of 500k calls with one failure in 100k of them would never end. The next pass asks the same questions
again; those that are the same to the byte are answered from here. A pass that completes drops it all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rpc import EMPTY, Method, Reply

MOST: Final = 2_000_000
"""How many answers are kept; what comes after them is simply asked again. A silent chain takes about 100 bytes."""


class Journal:
    """Answers by question. A question is known by the plugin, the method, what it is about (a node's id, or nothing for
    the workflow), and the 64-bit hash of the request's body.

    For nearly every node no plugin has anything to say, so a whole chain of silence is one entry: `keep_silence`.
    """

    __slots__ = ("_answers", "_plugins", "_silent", "resumed_at")

    def __init__(self) -> None:
        self._answers: dict[tuple[str, Method, str], tuple[int, Reply]] = {}
        self._silent: dict[Method, dict[str, int]] = {method: {} for method in Method}
        self._plugins: object = None
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

    def __len__(self) -> int:
        return len(self._answers) + sum(map(len, self._silent.values()))

    def silent(self, method: Method, about: str, digest: int) -> bool:
        """Whether no plugin had anything to say to this."""
        return self._silent[method].get(about) == digest

    def keep_silence(self, method: Method, about: str, digest: int) -> None:
        """No plugin had anything to say to this."""
        chains = self._silent[method]
        if len(chains) < MOST:
            chains[about] = digest

    def keep_silences(self, method: Method, silences: Collection[tuple[str, int]]) -> None:
        """The same of many nodes, each with its question's hash."""
        chains = self._silent[method]
        if len(chains) + len(silences) <= MOST:
            chains.update(silences)

    def find(self, plugin: str, method: Method, about: str, digest: int) -> Reply | None:
        """The plugin's answer, None where it has not answered this very question."""
        if not self._answers:
            return None
        found = self._answers.get((plugin, method, about))
        return found[1] if found is not None and found[0] == digest else None

    def keep(self, plugin: str, method: Method, about: str, digest: int, reply: Reply | None) -> None:
        """The plugin has answered; None means that it does not know the method, which is the same as silence here."""
        if len(self._answers) < MOST:
            self._answers[plugin, method, about] = (digest, reply or EMPTY)

    def clear(self) -> None:
        """Forget everything: the pass completed, or the plugins are others now."""
        if self._answers:
            self._answers = {}
        for method, chains in self._silent.items():
            if chains:
                self._silent[method] = {}
        self.resumed_at = None
