"""What the documents show of each method: the arguments that it may be sent, and replies to them.

Here once, as data: docs/protocol.md and docs/batches.md show the same, and plugins are tried with it.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

import msgspec

from rpc.methods import Method


class Example(msgspec.Struct, frozen=True):
    """``arguments`` is the object that a plugin is sent, ``replies`` what it may answer, one or more.

    Both are shared: copy them before you change anything.
    """

    arguments: dict[str, Any]
    replies: list[dict[str, Any]]


@functools.cache
def examples() -> dict[str, Example]:
    """By name of what is called: of all methods, and of the batch that docs/batches.md shows."""
    return msgspec.json.decode((files("rpc") / "examples.json").read_bytes(), type=dict[str, Example])


def example_of(method: Method) -> Example:
    """The example of one method."""
    return examples()[method]
