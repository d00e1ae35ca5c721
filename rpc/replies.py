"""What a plugin may answer: strict JSON into one frozen struct per kind of method.

Most replies are `{}`, and cost one comparison. The rest goes through orjson, which already refuses a BOM, NaN,
infinity, bad UTF-8 and trailing text. It keeps the last of two equal keys and nests to 1024, though, and four megabytes
can hold two million empty arrays, which take seconds to build and to apply. So depth, keys and the number of values are
our rules: counting bytes proves nearly every reply innocent, and only what cannot be proved so is looked at again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import msgspec
import orjson

from rpc.durations import Duration, parse_duration
from rpc.methods import BatchMethod, Method, ReplyKind, Route
from rpc.progress import EXPECTED, Progress, is_progress

MAX_DEPTH: Final = 200
"""Objects and arrays within one another, the outermost counted."""

MAX_VALUES: Final = 20_000
"""Objects, arrays and what is in them, the outermost counted: as many take about 20 ms to decode and to apply, in which
the event loop does nothing else. Texts may be as long as ``max_body`` lets them."""

REQUEUE: Final = "requeue"
LEAST_REQUEUE: Final = 0.1
"""Seconds; less counts as that, or a plugin could keep us busy for nothing."""

Phase = Literal["Pending", "Running", "Succeeded", "Skipped", "Failed", "Error", "Omitted"]
"""Argo's node phases (``NodePhase`` in its API), as a plugin may set them."""


class IllegalReply(ValueError):
    """The body is not a reply of this protocol; the message says what is wrong and where (``$.node.phase``)."""


class TooManyValues(IllegalReply):
    """It holds more than `MAX_VALUES`. Part of a batch may still be short enough."""


class NodeResult(msgspec.Struct, frozen=True):
    """What a plugin says of a node; null is "not said". ``outputs`` has Argo's shape, unknown fields kept.

    ``id`` and ``name`` are there for plugins that send back the whole node: what they say must be true.
    """

    phase: Phase | None = None
    message: str | None = None
    outputs: dict[str, Any] | None = None
    progress: Progress | None = None
    id: str | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType | None = msgspec.UNSET


class Reply(msgspec.Struct, frozen=True):
    """A reply, of whatever method. Compare with `EMPTY` first, then take the subclass that the method has."""


class WorkflowReply(Reply, frozen=True):
    """Of ``workflow.*``: an RFC 7386 merge patch for the workflow."""

    workflow: dict[str, Any] | None = None


class NodeReply(Reply, frozen=True):
    """Of ``node.*`` and ``template.execute``. ``requeue``: ask again in so many seconds, `LEAST_REQUEUE` or more."""

    node: NodeResult | None = None
    requeue: float | None = None


class ParametersReply(Reply, frozen=True):
    """Of ``parameters.add``: values for substitution, by name."""

    parameters: dict[str, str] | None = None


EMPTY: Final = Reply()
"""The one reply to which every `{}` is decoded, so that ``reply is EMPTY`` is all that a caller need ask."""


class ResultParameter(msgspec.Struct):
    """Its value may be any scalar, as Argo's ``AnyString``."""

    name: str
    value: str | int | float | bool | None = None


class ResultArtifact(msgspec.Struct):
    """Argo's Artifact, unknown fields kept."""

    name: str


class ResultOutputs(msgspec.Struct):
    """As much of Argo's ``Outputs`` as an engine relies on."""

    parameters: list[ResultParameter] | None = None
    artifacts: list[ResultArtifact] | None = None
    result: str | None = None
    exitCode: str | None = None


class NodeOnlyReply(msgspec.Struct):
    """Of ``node.postExecute``."""

    node: NodeResult | None = None


class NodeReplyAsSent(NodeOnlyReply):
    """Of ``node.preExecute`` and ``template.execute``. ``requeue``: ask again after that time."""

    requeue: Duration | None = None


_KINDS: Final[dict[ReplyKind, type[Reply]]] = {
    "workflow": WorkflowReply,
    "node": NodeReply,
    "parameters": ParametersReply,
    "nothing": Reply,
}
_NODE_REPLIES: Final[dict[bool, type[NodeOnlyReply]]] = {True: NodeReplyAsSent, False: NodeOnlyReply}
REPLIES: Final[dict[Method, type[msgspec.Struct]]] = {
    method: _NODE_REPLIES[method.requeues] if method.reply == "node" else _KINDS[method.reply] for method in Method
}
"""What the reply to each method is checked against, as it comes."""
_NODE: Final = "node."
_BESIDE: Final = ("resend", "resendAfter")
"""What stands beside the replies of a batch."""
LONGEST_KEY: Final = 64
"""Characters of an unknown key by which another may be meant, or of which anybody is told."""
_TYPES: Final[tuple[type[msgspec.Struct], ...]] = (*_KINDS.values(), NodeResult)
_FIELDS: Final = {kind: frozenset(kind.__struct_fields__) for kind in _TYPES}


Unknown = Sequence[str]
"""The keys that the protocol does not know, each with where it is: ``node.mesage``."""


def decode(method: Method, body: bytes) -> tuple[Reply, Unknown]:
    """The reply in `body`, and the keys in it that are unknown to the protocol. Raises `IllegalReply`."""
    if not body:
        return EMPTY, ()
    document = decode_object(body)
    return validate(method, document) if document else (EMPTY, ())


def decode_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The one JSON object that `body` must be, by RFC 8259 and without its leniencies. Raises `IllegalReply`."""
    # Every value but the first follows a comma or an opening bracket.
    if len(body) > MAX_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") >= MAX_VALUES:
        _refuse_too_many(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise IllegalReply(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise IllegalReply(f"expected a JSON object, got {json_type(document)}")
    colons = body.count(b":")
    if colons > 1 or body.count(b"{") + body.count(b"[") > max_depth:
        keys, depth = _measure(document)
        if depth > max_depth:
            raise IllegalReply(f"nested {depth} deep, {max_depth} is the most")
        if keys != colons:  # a colon that is no key's is in a string, or was of a key that came twice
            _refuse_duplicates(body)
    return document


def validate(method: Method, document: dict[str, Any]) -> tuple[Reply, Unknown]:
    """`document` as the reply to `method`, and its unknown keys. Raises `IllegalReply`.

    Where a method has no ``requeue`` that is an unknown one.
    """
    kind = _KINDS[method.reply]
    unknown = [key for key in document if key not in _FIELDS[kind] or (key == REQUEUE and not method.requeues)]
    try:
        if kind is not NodeReply:
            return msgspec.convert(document, kind), unknown
        sent = msgspec.convert(document, _NODE_REPLIES[method.requeues])
        node, requeue = sent.node, sent.requeue if isinstance(sent, NodeReplyAsSent) else None
        if node is not None:
            unknown += [_NODE + key for key in document["node"] if key not in _FIELDS[NodeResult]]
            if node.outputs is not None:
                _check_outputs(node.outputs)
            if node.progress is not None and not is_progress(node.progress):
                raise IllegalReply(f"expected {EXPECTED}, got {node.progress[:64]!r} - at `$.node.progress`")
    except msgspec.ValidationError as error:
        phases = f", expected one of {', '.join(get_args(Phase))}" if "enum" in str(error).partition("'")[0] else ""
        raise IllegalReply(f"{error}{phases}") from None
    return NodeReply(node, _seconds(requeue)), unknown


def meant_by(route: Route, key: str) -> str:
    """The key that is meant by an unknown one of a reply by `route`, where that looks like any; else empty.

    For ``node.mesage`` that is ``message``, for ``message`` it is ``node.message``.
    """
    import difflib  # which few need

    method = route.method if isinstance(route, BatchMethod) else route
    names: set[str] = {*_FIELDS[_KINDS[method.reply]], *(_BESIDE if isinstance(route, BatchMethod) else ())}
    names -= set() if method.requeues else {REQUEUE}
    below = {(_NODE + name).lower(): name for name in _FIELDS[NodeResult]} if method.reply == "node" else {}
    wanted = key[:LONGEST_KEY].lower()
    if _NODE + wanted in below:  # it stands one level too high
        return _NODE + below[_NODE + wanted]
    if below and wanted.startswith(_NODE):
        names, wanted = {*below.values()}, wanted.removeprefix(_NODE)
    known = {name.lower(): name for name in sorted(names)}
    close = difflib.get_close_matches(wanted, known, 1)
    return known[close[0]] if close else ""


def _seconds(requeue: str | None) -> float | None:
    if requeue is None:
        return None
    try:
        return max(parse_duration(requeue), LEAST_REQUEUE)
    except ValueError as error:
        raise IllegalReply(f"{error} - at `$.requeue`") from None


def _check_outputs(outputs: dict[str, Any]) -> None:
    try:
        msgspec.convert(outputs, ResultOutputs)
    except msgspec.ValidationError as error:
        text = str(error)
        where = text.replace("`$", "`$.node.outputs", 1) if "`$" in text else f"{text} - at `$.node.outputs`"
        raise IllegalReply(where) from None


def _measure(document: dict[str, Any]) -> tuple[int, int]:
    """How many keys all objects have together, and how deep the nesting goes."""
    keys = depth = 0
    level: list[Any] = [document]
    while level:
        depth += 1
        inner: list[Any] = []
        for container in level:
            if type(container) is dict:
                keys += len(container)
                container = container.values()
            inner += [value for value in container if type(value) is dict or type(value) is list]
        level = inner
    return keys, depth


def _refuse_too_many(body: bytes) -> None:
    """Count again, without what is in strings: before anything is built, in a fixed number of runs over the body."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    most_quotes = 4 * MAX_VALUES  # of a key and a value that is a string
    if plain.count(b'"') <= most_quotes:
        plain = b"0".join(plain.split(b'"')[::2]).translate(None, b" \t\r\n")
        opened = plain.count(b"[") + plain.count(b"{") - plain.count(b"[]") - plain.count(b"{}")
        if 1 + plain.count(b",") + opened <= MAX_VALUES:
            return
    raise TooManyValues(f"it holds more than {MAX_VALUES} values")


def _refuse_duplicates(body: bytes) -> None:
    def pairs(items: list[tuple[str, object]]) -> None:
        if len(dict(items)) < len(items):
            twice = next(key for key, times in Counter(key for key, _ in items).items() if times > 1)
            raise IllegalReply(f"the key {twice[:64]!r} comes twice in one object")

    # The values were parsed before; as strings they can neither overflow nor take long.
    json.loads(body, object_pairs_hook=pairs, parse_int=str, parse_float=str)


def json_type(value: object) -> str:
    """What a decoded JSON value is called that is no object."""
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
