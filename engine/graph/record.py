"""What a walk knows beyond its workflow's document and nodes: all of it, in one place.

A walk is built from document, nodes and record, be it after an aborted pass or after a restart of the process; only a
pass that commits changes a record. One that is empty, or knows of no pass, is that of a workflow that was found
somewhere: then what nodes say is all there is, and plugins are asked again for the parameters that they add.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.executors.executor import Result


class Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an unfinished node stands. ``since`` is when it began to execute, None where it did not.

    ``extra`` are the parameters that plugins have added, None where none was asked; ``requeue_at`` is when one wants to
    be asked again. Times are in seconds since the epoch.
    """

    since: float | None = None
    extra: dict[str, str] | None = None
    requeue_at: float | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A call that has no node, since there was no room for it: in the template in which it stands (``inside``), or in
    the workflow. ``call`` is what was decided when it was made: the substituted step."""

    call: Mapping[str, Any]
    inside: bool


class Job(msgspec.Struct, frozen=True):
    """A node that a plugin was asked to execute, with which template (its JSON), in which attempt.

    No name is that of whoever it was, of a node that was Running when the workflow was found.
    """

    plugin: str
    template: msgspec.Raw
    attempt: int


class WalkRecord(msgspec.Struct):
    """See the module. ``at`` is when the last pass was that moved the walk, in seconds since the epoch."""

    at: float | None = None
    shutdown: str = ""
    """The shutdown strategy that the walk has followed."""
    closing: str = ""
    """The message of whoever told it to end, as nodes show it."""
    why: str = ""
    """The message of whoever told the workflow to end, be it that the walk has heard of it or not."""
    plugins: str = ""
    """Which plugins the last committed pass had: a digest of their configurations."""
    visits: dict[str, Visit] = {}
    """By node. A node that nobody has visited is not in it."""
    waiting: dict[str, Waiting] = {}
    """By the names of their nodes to come, those first that have waited longest."""
    freed: list[str] = []
    """Nodes in which calls wait that might go on if the workflow had room, in the order in which they will."""
    leaves: set[str] = set()
    """Leaves that the executor was given and has not ended."""
    presumed: set[str] = set()
    """Leaves that ran when the workflow was found: an executor may have them, and is to be given them again."""
    stopping: set[str] = set()
    """Leaves that the executor is still to be told to stop."""
    jobs: dict[str, Job] = {}
    """What plugins execute, by node, to be told where that ends otherwise than by their own word."""
    reports: dict[str, Result] = {}
    """What leaves have reported and no committed pass has taken up."""
