"""Replies that stand: what need not be asked again, in this pass and in those after it.

A plugin is *lasting* if its configuration, or its own word in a batch, says that its reply to `node.preExecute` depends
on the arguments alone. Its last reply about a node stands for as long as the arguments are the same to the byte, the
plugin is the same, and the time it gave has not passed. (The journal is for the passes up to the next commit only.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from engine.hooks.room import Room, Share, weight
from engine.node import Node
from registry import Plugin
from rpc import EMPTY, Reply

SILENCE: Final = 200
"""Bytes that a node takes to which nobody had anything to say, and `ENTRY` those of a reply, besides what is in it."""
ENTRY: Final = 300


class StandingReplies:
    """Of one workflow's plugins, by node. A question is known by the hash of its arguments.

    Nearly all replies are `{}`. A node to which no lasting plugin had anything to say has one entry for all of them.
    One that has not changed since is not even encoded again (`unchanged`): a pass replaces a `Node` that it changes, so
    the same object is the same node.
    """

    def __init__(self, room: Room) -> None:
        self._share = Share(room)
        self.names: frozenset[str] = frozenset()
        """The lasting plugins of this pass."""
        self.unchanged: dict[str, Node] = {}
        self.kept = 0
        """How often something was kept."""
        self._surroundings: object = None
        self._answers: dict[tuple[str, str], tuple[int, Reply, int]] = {}
        self._silent: dict[str, int] = {}
        self._plugins: Sequence[Plugin] = ()
        self._generations: tuple[int, ...] = ()
        self._began = 0.0
        """When the oldest of the replies may have been given."""

    def begin(self, plugins: Sequence[Plugin], now: float) -> None:
        """A pass with these plugins begins at `now`: forget what does not stand any more."""
        generations = tuple(plugin.client.generation for plugin in plugins)
        names = frozenset(plugin.name for plugin in plugins if lasting(plugin))
        limits = [seconds for plugin in plugins if (seconds := standing_time(plugin)) is not None]
        expired = bool(limits) and now >= self._began + min(limits)
        if expired or plugins != self._plugins or generations != self._generations or names != self.names:
            self._answers, self._silent, self.unchanged = {}, {}, {}
            self._share.clear()
            self._began = now
        self._plugins, self._generations, self.names = plugins, generations, names

    def surrounded_by(self, surroundings: object) -> None:
        """What every question has in common besides the node; where it has changed, every node is worth a look."""
        if surroundings != self._surroundings:
            self.unchanged = {}
            self._surroundings = surroundings

    def find(self, plugin: str, about: str, digest: int) -> Reply | None:
        """The reply of a lasting plugin that stands, if one does."""
        if self._silent.get(about) == digest:
            return EMPTY
        found = self._answers.get((plugin, about))
        return found[1] if found is not None and found[0] == digest else None

    def keep(self, plugin: str, about: str, digest: int, reply: Reply) -> None:
        """A lasting plugin has replied."""
        replaced = self._answers.pop((plugin, about), None)
        if replaced is not None:
            self._share.take(-replaced[2])
        size = ENTRY + weight(reply)
        if self._share.fits(size):
            self._share.take(size)
            self._answers[plugin, about] = digest, reply, size
            self.kept += 1

    def keep_silences(self, silences: Collection[tuple[str, int]]) -> None:
        """To these questions, each about a node, no lasting plugin had anything to say."""
        if self._share.fits(SILENCE * len(silences)):
            before = len(self._silent)
            self._silent.update(silences)
            self._share.take(SILENCE * (len(self._silent) - before))
            self.kept += len(silences)


def lasting(plugin: Plugin) -> bool:
    """Whether the plugin's replies stand."""
    if plugin.config.resend != "auto":
        return plugin.config.resend == "changed"
    announced = plugin.client.announcement
    return announced is not None and announced.lasting


def standing_time(plugin: Plugin) -> float | None:
    """How many seconds a reply stands at most; None for no limit, or where none stands."""
    if not lasting(plugin):
        return None
    announced = plugin.client.announcement
    own = announced.seconds if announced is not None else None
    return plugin.config.resend_after if plugin.config.resend_after is not None else own
