"""How much of what plugins have answered is kept, in bytes, of all workflows of an engine together.

What there is no room for is asked again, which costs time and nothing else.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

from rpc import FatalError
from rpc.replies import NodeReply, ParametersReply, Reply, WorkflowReply

JOURNALS: Final = 192 * 1024 * 1024
"""Bytes of answers that passes under way, or aborted, were given."""
CACHES: Final = 64 * 1024 * 1024
"""Bytes of cached replies. They have a room of their own, so that they never keep an aborted pass from going on."""

Answer = Reply | FatalError
"""What the same question would be answered again: a reply, or what made it none."""


class Room:
    """So many bytes, for whoever comes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0


class Share:
    """What one workflow has taken of a room; it is given back with `clear`, or once nobody holds the share any more."""

    __slots__ = ("_room", "_taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes more."""
        return self._room.taken + size <= self._room.most

    def take(self, size: int) -> None:
        """So many bytes are kept; below zero, are kept no longer."""
        self._taken += size
        self._room.taken += size

    def clear(self) -> None:
        """Nothing is kept any longer."""
        self.take(-self._taken)

    def __del__(self) -> None:
        self.clear()


def weight(answer: Answer) -> int:
    """About how many bytes the content of an answer takes."""
    if isinstance(answer, NodeReply):
        node = answer.node
        if node is None:
            return 0
        size = getsizeof(node.message) + getsizeof(node.progress)
        return size if node.outputs is None else size + _weigh(node.outputs)
    match answer:
        case WorkflowReply(workflow=content) | ParametersReply(parameters=content):
            return _weigh(content)
        case FatalError(reason=reason):
            return getsizeof(reason)
    return 0


def _weigh(value: Any) -> int:
    size = 0
    left = [value]
    while left:
        each = left.pop()
        size += getsizeof(each)
        if type(each) is dict:
            left += each
            left += each.values()
        elif type(each) is list:
            left += each
    return size
