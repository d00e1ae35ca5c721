"""The story of a node, or of a workflow: who was asked what, answered what, and changed what, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from engine.recording.format import Began, Called, Ended, RecordError
from engine.recording.reading import Pass, Record, Told, node_of, object_of
from rpc import Outcome

MOST_SHOWN: Final = 10
"""Candidates that an ambiguous name is answered with."""
_MOST_FOUND: Final = 1000


class Target(NamedTuple):
    """What a story is about: a workflow by its uid, and one of its nodes, or the whole where ``node`` is empty."""

    uid: str
    node: str
    workflow: str
    name: str

    def __str__(self) -> str:
        what = f"node {self.name} (id {self.node}) of " if self.node else ""
        return f"{what}workflow {self.workflow} (uid {self.uid})"


class Event(NamedTuple):
    """Something that the record has; ``reply`` is the body that a call was replied, None where there was none.
    ``phase`` is where a node has got since the call before without a plugin, empty where it has not."""

    pass_: Pass
    told: Told
    reply: Any
    phase: str


def find(record: Record, name: str, workflow: str) -> Target:
    """What `name` means: a node by its id, name or display name, or a workflow; in the one that `workflow` names by its
    name, ``namespace/name`` or uid. Empty they mean the only workflow that there is.

    Raises `RecordError` where there is no such thing, or more than one.
    """
    workflows, nodes, quoted = dict[str, Target](), dict[tuple[str, str], Target](), orjson.dumps(name)
    displayed = b'"displayName":' + quoted

    def is_meant(key: str, uid: str) -> bool:
        return not workflow or workflow in (uid, key, key.rpartition("/")[2])

    def add(uid: str, node: str, key: str, called: str) -> None:
        if is_meant(key, uid) and len(nodes) < _MOST_FOUND:
            nodes.setdefault((uid, node), Target(uid, node, key, called))

    def look(line: bytes) -> None:
        batch = record.decoded(line).batch if name and displayed in line else None
        workflow = record.body(batch.workflow) if batch is not None else None
        if batch is None or workflow is None:
            return
        metadata = object_of(object_of(workflow.json).get("metadata"))
        for node in map(node_of, batch.calls):
            if node.get("displayName") == name:
                key = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
                add(str(metadata.get("uid", "")), str(node.get("id", "")), key, str(node.get("name", "")))

    for pass_, told in record.told(lambda line: bool(name) and quoted in line, look):
        if isinstance(told, Called) and told.node is not None and name in (told.node.id, told.node.name):
            add(pass_.uid, told.node.id, pass_.workflow, told.node.name)
        elif isinstance(told, Began) and is_meant(pass_.workflow, pass_.uid) and len(workflows) < _MOST_FOUND:
            workflows.setdefault(pass_.uid, Target(pass_.uid, "", pass_.workflow, ""))
    meant = [each for each in workflows.values() if not name or is_named(each, name)]
    uids = {each.uid for each in meant}
    # The node at the top has the workflow's name, and its story is part of the workflow's.
    found = [*meant, *(each for each in nodes.values() if each.uid not in uids or each.node != _top(each))]
    by_id = [each for each in found if each.node == name]
    if len(found) > 1 and len(by_id) == 1 and not meant:
        found = by_id
    if len(found) == 1:
        return found[0]
    where = f" in workflow {workflow!r}" if workflow else ""
    if not found:
        got = f", got {name!r}{where}" if name or workflow else ""
        raise RecordError(f"{record.path}: expected a node or a workflow that is in it{got}")
    shown = "; ".join(map(str, found[:MOST_SHOWN])) + ("; and others" if len(found) > MOST_SHOWN else "")
    what = f"{name!r} may mean" if name else "it has"
    raise RecordError(f"{record.path}: {what} {shown}: say which by --workflow UID, or by the node's id")


def is_named(target: Target, name: str) -> bool:
    """Whether a workflow is called so."""
    return name in (target.uid, target.workflow, target.workflow.rpartition("/")[2])


def _top(target: Target) -> str:
    return target.workflow.rpartition("/")[2]


def story(record: Record, target: Target) -> Iterator[Event]:
    """What the record tells of it, in order."""
    quoted = b'"id":' + orjson.dumps(target.node)
    process, request, phase, committed = 0, "", "", ""
    for pass_, told in record.told(lambda line: not target.node or quoted in line):
        reply, now = None, ""
        if pass_.uid != target.uid:
            continue
        if pass_.process != process:  # what the one before was in the midst of is not known to have counted
            process, request, phase, committed = pass_.process, "", "", ""
        if isinstance(told, Called):
            if target.node and (told.node is None or told.node.id != target.node):
                continue
            body = record.body(told.reply) if told.reply else None
            if body is not None:
                reply = body.json if body.json is not msgspec.UNSET else body.text or body.cut
            if target.node and told.request != request:
                request, sent = told.request, _phase(record, told.request)
                now = sent if phase and sent not in ("", phase) else ""
                phase = sent or phase
            phase = told.changed.get("phase", ("", phase))[1]
        elif isinstance(told, Ended):
            phase = committed = phase if told.result == "committed" else committed
        yield Event(pass_, told, reply, now)


def is_silent(call: Called) -> bool:
    """Whether the plugin had nothing to say, and nothing went wrong."""
    said = call.reply or call.error or call.changed or call.would_change or call.status
    return call.outcome in (Outcome.ANSWERED, Outcome.UNSUPPORTED) and not said


def _phase(record: Record, request: str) -> str:
    """That of a node as it was sent, empty where that is not known."""
    sent = record.sent(request)
    return str(node_of(sent.arguments).get("phase", "")) if sent is not None else ""
