"""One question about a node, on its way through the plugins that are asked it."""

from __future__ import annotations

import msgspec

from engine.graph import Invocation
from engine.model.node import Node
from rpc.batches import Call


class Question(msgspec.Struct, eq=False, gc=False):
    """What a method asks about one node, on its way through the plugins. A struct, since every node needs one."""

    invocation: Invocation
    before: Node | None = None
    """The node as it was before the pass, where plugins are told."""
    text: bytes | None = None
    """The template, where it is what the question is about."""
    call: Call | None = None
    """The last one made, with `payload`; None where the node has changed since, or there was none."""
    payload: str = ""
    digest: bytes = b""
    """Of the last call; empty where there was none."""
    since: int = 0
    """The place of the first plugin that was asked this."""
    empty: bool = True
    """Whether nobody has had anything to say so far, or failed."""
    cacheable: bool = True
    """Whether the replies of all that were asked may be used again."""
    over: bool = False
    """Whether the rest of the plugins is not asked."""
