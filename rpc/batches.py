"""Batches as they travel: many calls about nodes in one request, and the replies to them in one reply.

(docs/batches.md is the protocol.) Nearly all replies are `{}`, and a reply of nothing but those costs one comparison.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import orjson

from rpc.durations import Duration, parse_duration
from rpc.lanes import Response
from rpc.methods import Method
from rpc.replies import (
    EMPTY,
    MAX_DEPTH,
    IllegalReply,
    Reply,
    Unknown,
    decode_object,
    json_type,
    validate,
)
from rpc.spans import Subject

_OPENING: Final = b',{"template":'
_KEY_ROOM: Final = 16
"""Bytes for the quotes around a template's key, and a number behind it."""
_ENVELOPE_DEPTH: Final = 2
"""How much deeper a reply lies in a batch than by itself."""


class Call(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One call about a node, in the parts that it shares with others and its own.

    ``head`` and ``rest`` together are the body of a single request: ``{"workflow":…,"template":…`` and
    ``,"node":…}``, or ``}`` where a method has no more arguments. ``template`` is the template's JSON, ``name`` what it
    is called.
    """

    head: bytes
    name: str
    template: bytes
    rest: bytes

    @property
    def body(self) -> bytes:
        """The call as a request of its own."""
        return self.head + self.rest


class CallBatch:
    """Calls of one method that may travel together. ``workflow`` is the JSON of the argument that they have in common.

    ``about`` says, for who wants to know, which node the call at a place is about. Several plugins are sent the same,
    so what was worked out for one of them is kept.
    """

    def __init__(self, workflow: bytes, calls: Sequence[Call], about: Callable[[int], Subject] | None = None) -> None:
        self.workflow = workflow
        self.calls = calls
        self.about = about
        self._last_places: tuple[int, ...] = ()
        self._last = b""

    def encode(self, places: Sequence[int]) -> bytes:
        """The request with the calls at these places."""
        wanted = tuple(places)
        if wanted != self._last_places:
            self._last = encode_batch(self.workflow, [self.calls[place] for place in wanted])
            self._last_places = wanted
        return self._last

    def cut(self, start: int, most: int, max_bytes: int) -> range:
        """The places from `start` on of as many calls as fit into one request; of one at least."""
        ends = self._ends
        room = max_bytes + (ends[start - 1] if start else 0)
        stop = bisect_right(ends, room, start, min(len(ends), start + most))
        return range(start, max(stop, start + 1))

    @cached_property
    def _ends(self) -> Sequence[int]:
        """At most how many bytes the calls up to each one take, itself included."""
        sizes = []
        template = None
        for call in self.calls:
            size = len(call.rest) + len(call.name) + len(_OPENING) + _KEY_ROOM
            if call.template is not template:
                template = call.template
                size += len(template)
            sizes.append(size)
        return tuple(accumulate(sizes))


def encode_batch(workflow: bytes, calls: Sequence[Call]) -> bytes:
    """The request with all `calls`, in order."""
    keys: dict[bytes, bytes] = {}
    names: dict[str, int] = {}
    parts: list[bytes] = []
    for call in calls:
        opening = keys.get(call.template)
        if opening is None:
            count = names[call.name] = names.get(call.name, 0) + 1
            key = call.name if count == 1 else f"{call.name}#{count}"
            opening = keys[call.template] = _OPENING + orjson.dumps(key)
        parts.append(opening)
        parts.append(call.rest)
    parts[0] = parts[0][1:]
    templates = b",".join([opening[len(_OPENING) :] + b":" + text for text, opening in keys.items()])
    return b"".join((b'{"workflow":', workflow, b',"templates":{', templates, b'},"calls":[', *parts, b"]}"))


class Announcement(NamedTuple):
    """A plugin's own word: whether its replies may be used again, and for how many ``seconds``, None for ever."""

    cacheable: bool
    seconds: float | None = None


class Illegal(NamedTuple):
    """An entry that is no legal reply, as the body of a single call's response, and what is wrong with it."""

    response: Response
    why: IllegalReply


class BatchReply(NamedTuple):
    """``replies`` has for each call its reply, or what a single call would have had instead of one."""

    replies: Sequence[Reply | Response | Illegal]
    announcement: Announcement | None
    unknown: Unknown


class Envelope(msgspec.Struct):
    """A reply to each call, in order. ``resend``: whether calls come again that would be answered the same.

    ``resendAfter``: after which time they do in any case.
    """

    resend: Literal["changed", "always"] | None = None
    resendAfter: Duration | None = None


class Refusal(msgspec.Struct):
    """Why a call has no reply: ``status`` means what it means for a single one, ``retryAfter`` is in seconds."""

    status: Annotated[int, msgspec.Meta(ge=300, le=599)]
    message: str = ""
    retryAfter: Annotated[float, msgspec.Meta(ge=0)] | None = None


_ENVELOPE: Final = frozenset(Envelope.__struct_fields__)


def decode_batch(method: Method, body: bytes, count: int) -> BatchReply | None:
    """The reply to a batch of `count` calls of `method`; None where it has no ``replies``: it is no reply to a batch.

    Raises `IllegalReply` where the whole is wrong.
    """
    silence = _silence(count)
    if body == silence:
        return BatchReply([EMPTY] * count, None, ())
    cut = len(silence) - 1
    if body.startswith(silence[:-1]) and body[cut : cut + 1] == b",":
        beside = decode_object(b"{" + body[cut + 1 :])
        if "replies" not in beside:
            return BatchReply([EMPTY] * count, *_beside(beside))
    document = decode_object(body, MAX_DEPTH + _ENVELOPE_DEPTH) if body else {}
    if "replies" not in document:
        return None
    entries = document.pop("replies")
    if not isinstance(entries, list):
        raise IllegalReply("expected an array - at `$.replies`")
    if len(entries) != count:
        raise IllegalReply(f"expected {count} replies, one for each call, got {len(entries)} - at `$.replies`")
    announcement, beside_them = _beside(document)
    unknown = [*beside_them]
    replies: list[Reply | Response | Illegal] = []
    for entry in entries:
        reply, more = _read(method, entry)
        replies.append(reply)
        unknown += more
    return BatchReply(replies, announcement, unknown)


def _read(method: Method, entry: Any) -> tuple[Reply | Response | Illegal, Unknown]:
    if entry == {}:
        return EMPTY, ()
    try:
        if type(entry) is not dict:
            raise IllegalReply(f"expected a JSON object, got {json_type(entry)}")
        if "error" in entry:
            return _refused(entry["error"]), ()
        return validate(method, entry)
    except IllegalReply as why:
        return Illegal(Response(200, orjson.dumps(entry)), why), ()


def _refused(error: object) -> Response:
    """What a single call would have had, with the message as the body that it is in the SDK's replies."""
    try:
        refusal = msgspec.convert(error, Refusal)
    except msgspec.ValidationError as problem:
        raise IllegalReply(str(problem)) from None
    wait = None if refusal.retryAfter is None else str(int(-(-refusal.retryAfter // 1)))
    return Response(refusal.status, orjson.dumps({"message": refusal.message}), wait)


def _beside(document: dict[str, Any]) -> tuple[Announcement | None, Unknown]:
    unknown = [key for key in document if key not in _ENVELOPE]
    try:
        envelope = msgspec.convert(document, Envelope)
        seconds = None if envelope.resendAfter is None else parse_duration(envelope.resendAfter)
    except ValueError as error:  # msgspec's ValidationError is one
        raise IllegalReply(str(error)) from None
    return (None if envelope.resend is None else Announcement(envelope.resend == "changed", seconds)), unknown


@functools.lru_cache(maxsize=512)
def _silence(count: int) -> bytes:
    """The reply that has nothing to say to any of `count` calls, as most encoders write it."""
    return b'{"replies":[' + b",".join([b"{}"] * count) + b"]}"
