"""What a test sees of the calls to a plugin: see ``docs/testing.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One call, as the engine made it.

    ``node`` is the display name of the node that it was about, empty for a workflow. ``reply`` is `{}` where there was
    nothing to say, the text where it was no JSON, and None where there was none. ``outcome`` is ``answered``, or what
    went wrong, with the reason in ``error``. ``changed`` is what became of the workflow's or the node's fields by it,
    old and new; in ``mode = "observe"`` what would have.
    """

    plugin: str
    method: str
    node: str
    arguments: dict[str, Any]
    reply: Any
    outcome: str
    error: str
    changed: Mapping[str, tuple[Any, Any]]
