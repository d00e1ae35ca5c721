"""What is wrong with an answer to a call, by name."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson
from msgspec import UNSET

from engine.model.node import FULFILLED
from engine.model.workflow import has_ended
from engine.plugins.patching import IDENTITY, WORKFLOW_PHASES
from engine.verifying.effects import Arguments, effect_of, node_in, workflow_in
from engine.verifying.exchanges import Answer, Failed
from engine.verifying.samples import MARK
from rpc import Method
from rpc.replies import IllegalReply, NodeReply, Reply, WorkflowReply, decode, decode_object, meant_by
from rpc.statuses import PATIENCE, excerpt, in_one_line

_PATCHED = ("metadata", "status")

UNAUTHORIZED: Final = (401, 403)


class Problem(NamedTuple):
    """``name`` is that of a kind of finding."""

    name: str
    what: str


def check_status(answer: Answer) -> None:
    """Raises `Failed` unless it is that of a reply."""
    status = answer.status
    if status in (200, 204):
        return
    if 300 <= status < 400:
        name = "redirect"
    elif status in PATIENCE:
        name = "busy"
    else:
        name = "token" if status in UNAUTHORIZED else "status"
    raise Failed(name, f"status {status}{excerpt(answer.body)}")


def read(method: Method, arguments: Arguments, answer: Answer) -> list[Problem]:
    """What is to be said of the reply to a call that does not make it illegal. Raises `Failed`."""
    check_status(answer)
    try:
        reply, unknown = decode(method, answer.body)
    except IllegalReply as error:
        raise Failed(kind_of_illegal(answer.body, error), f"{error}{excerpt(answer.body)}") from None
    judge(method, arguments, reply)
    return [_unknown(method, key) for key in unknown]


def judge(method: Method, arguments: Arguments, reply: Reply) -> None:
    """Raises `Failed` for a reply that is well-formed and still not acceptable."""
    _, refused = effect_of("", method, arguments, reply)
    if refused:
        raise Failed(next(_causes(arguments, reply), "illegal-change"), refused)


def kind_of_illegal(body: bytes, error: IllegalReply) -> str:
    """The name of what makes this body no reply."""
    text = str(error)
    if body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "byte-order-mark"
    if body.lstrip()[:1] == b"<":
        return "html"
    if "comes twice" in text:
        return "duplicate-keys"
    if text.startswith("not JSON"):
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return "not-json"
        return "lenient-json"
    if text.startswith("expected a JSON object"):
        return "not-an-object"
    if text.endswith("`$.requeue`"):
        return "bad-requeue"
    return "illegal-phase" if text.startswith("Invalid enum value") else "wrong-type"


def check_marks(arguments: Arguments, body: bytes) -> None:
    """Raises `Failed` for a reply that mentions another sample than that which the arguments are."""
    found = MARK.search(orjson.dumps(arguments))
    own = found.group() if found else b""
    for other in MARK.findall(body):
        if other != own:
            raise Failed("leak", f"the reply about {own.decode()} mentions {other.decode()}{excerpt(body)}")


def document_of(answer: Answer) -> dict[str, Any]:
    """The object that a good reply is."""
    return decode_object(answer.body) if answer.body else {}


def _unknown(method: Method, key: str) -> Problem:
    meant = meant_by(method, key)
    return Problem("unknown-keys", in_one_line(f"{key}{meant and f'; did you mean {meant}?'}"))


def _causes(arguments: Arguments, reply: Reply) -> Iterator[str]:
    """The likeliest first."""
    if isinstance(reply, NodeReply) and reply.node is not None and (node := node_in(arguments)) is not None:
        said = reply.node
        if any(it is not UNSET and it != was for it, was in ((said.id, node.id), (said.name, node.name))):
            yield "wrong-identity"
        if node.phase in FULFILLED and said.phase is not None and said.phase not in FULFILLED:
            yield "takes-finished-back"
    if isinstance(reply, WorkflowReply) and reply.workflow is not None:
        before, patch = workflow_in(arguments), reply.workflow
        metadata, status = (patch[field] if isinstance(patch.get(field), dict) else {} for field in _PATCHED)
        if any(field in metadata and metadata[field] != before["metadata"].get(field) for field in IDENTITY):
            yield "wrong-identity"
        if "phase" in status:
            known = status["phase"] in WORKFLOW_PHASES
            yield ("takes-finished-back" if known and has_ended(before) else "illegal-phase")
