"""Cached replies: what need not be asked again, in this pass and in those after it.

A plugin's replies are *cacheable* if its configuration, or its own word in a batch, says that its reply to
`node.preExecute` depends on the arguments alone. Its last reply about a node is used again for as long as the arguments
have the same digest (128 bits), the plugin is the same, and its time to live is not over. (The journal is for the
passes up to the next commit only.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from engine.model.node import Node
from engine.plugins.room import Room, Share, weight
from rpc.replies import EMPTY, Reply

if TYPE_CHECKING:
    from registry import Plugin

EMPTY_SIZE: Final = 250
"""Bytes that a node takes to which nobody had anything to say, and `ENTRY` those of a reply, besides what is in it."""
ENTRY: Final = 350


class ReplyCache:
    """Of one workflow's plugins, by node. A question is known by the digest of its arguments.

    Nearly all replies are `{}`. A node to which no plugin with cacheable replies had anything to say has one entry for
    all of them. One that has not changed since is not even encoded again (`unchanged`): a pass replaces a `Node` that
    it changes, so the same object is the same node.
    """

    def __init__(self, room: Room) -> None:
        self._share = Share(room)
        self.names: frozenset[str] = frozenset()
        """The plugins of this pass whose replies are cacheable."""
        self.unchanged: dict[str, Node] = {}
        self.kept = 0
        """How often something was kept."""
        self._surroundings: object = None
        self._answers: dict[tuple[str, str], tuple[bytes, Reply, int]] = {}
        self._empty: dict[str, bytes] = {}
        self._plugins: Sequence[Plugin] = ()
        self._generations: tuple[int, ...] = ()
        self._began = 0.0
        """When the oldest of the replies may have been given."""

    def begin(self, plugins: Sequence[Plugin], now: float) -> None:
        """A pass with these plugins begins at `now`: forget what is not to be used any more."""
        if not plugins and not self._plugins:
            return
        generations = tuple(plugin.client.generation for plugin in plugins)
        names = frozenset(plugin.name for plugin in plugins if cacheable(plugin))
        limits = [seconds for plugin in plugins if (seconds := time_to_live(plugin)) is not None]
        expired = bool(limits) and now >= self._began + min(limits)
        if expired or plugins != self._plugins or generations != self._generations or names != self.names:
            self._answers, self._empty, self.unchanged = {}, {}, {}
            self._share.clear()
            self._began = now
        self._plugins, self._generations, self.names = plugins, generations, names

    def surrounded_by(self, surroundings: object) -> None:
        """What every question has in common besides the node; where it has changed, every node is worth a look."""
        if surroundings != self._surroundings:
            self.unchanged = {}
            self._surroundings = surroundings

    def find(self, plugin: str, about: str, digest: bytes) -> Reply | None:
        """The reply of a plugin, if one is cached."""
        if self._empty.get(about) == digest:
            return EMPTY
        found = self._answers.get((plugin, about))
        return found[1] if found is not None and found[0] == digest else None

    def keep(self, plugin: str, about: str, digest: bytes, reply: Reply) -> None:
        """A plugin has given a reply that is cacheable."""
        replaced = self._answers.pop((plugin, about), None)
        if replaced is not None:
            self._share.take(-replaced[2])
        size = ENTRY + weight(reply)
        if self._share.fits(size):
            self._share.take(size)
            self._answers[plugin, about] = digest, reply, size
            self.kept += 1

    def keep_empty_chains(self, questions: Collection[tuple[str, bytes]]) -> None:
        """To these questions, each about a node, no plugin with cacheable replies had anything to say."""
        if self._share.fits(EMPTY_SIZE * len(questions)):
            before = len(self._empty)
            self._empty.update(questions)
            self._share.take(EMPTY_SIZE * (len(self._empty) - before))
            self.kept += len(questions)


def cacheable(plugin: Plugin) -> bool:
    """Whether the plugin's replies may be used again."""
    if plugin.config.cache != "auto":
        return plugin.config.cache == "on"
    announced = plugin.client.announcement
    return announced is not None and announced.cacheable


def time_to_live(plugin: Plugin) -> float | None:
    """For how many seconds a reply may be used at most; None for no limit, or where none is."""
    if not cacheable(plugin):
        return None
    announced = plugin.client.announcement
    own = announced.seconds if announced is not None else None
    return plugin.config.cache_ttl if plugin.config.cache_ttl is not None else own
