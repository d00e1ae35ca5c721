"""All that can be found wrong with a plugin: how bad it is, why that matters, and what to change."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal, NamedTuple

Severity = Literal["fault", "warning"]


class Kind(NamedTuple):
    """What there is to say of all findings of a name."""

    severity: Severity
    why: str
    change: str


class Finding(NamedTuple):
    """Something wrong. ``what`` happened, and ``where``: the path of the request."""

    name: str
    where: str
    what: str

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return KINDS[self.name]


_fault: Final = partial(Kind, "fault")
_warning: Final = partial(Kind, "warning")

_FATAL: Final = "An engine takes it for a fatal error: the node or the workflow becomes Error."
_STOPS: Final = "The pass over the workflow is aborted and made again, for as long as this lasts."

KINDS: Final[dict[str, Kind]] = {
    # Which methods there are
    "no-method": _fault(
        "A plugin that has no method is never called.",
        "Answer POST at a path that docs/protocol.md#spellings lists; if all have a prefix, give that in the URL.",
    ),
    "unknown-path": _fault(
        "Only a 404 says that a plugin does not have a method: anything else is taken for an answer, or for an error.",
        "Answer 404 to every path that is not exactly that of a method you have.",
    ),
    # What comes back at all
    "no-reply": _fault(_STOPS, "Answer every request; look for crashes and limits of connections in the server's log."),
    "timeout": _fault(
        "An engine waits for a second, unless `timeout` says otherwise, tries again, and then aborts the pass.",
        "Answer at once and do the work elsewhere, asking with `requeue` to be called again; or raise `timeout`.",
    ),
    "wrong-length": _fault(_STOPS, "Send as many bytes as Content-Length says: count bytes, not characters."),
    "bad-framing": _fault(
        _FATAL, "Leave the framing of replies to an HTTP server, or send Content-Length and the body."
    ),
    "compressed": _fault(_FATAL, "Do not compress: requests say `Accept-Encoding: identity`."),
    "too-large": _fault(_FATAL, "Reply with what changes, not with all that you were sent; or raise `max_body`."),
    "redirect": _fault("Redirects are not followed. " + _FATAL, "Answer at the path itself."),
    "token": _fault("Nothing can be asked without the token.", "Give it with --token-file."),
    "busy": _fault(_STOPS, "Say 429, 502, 503 or 504 only while you cannot answer, with Retry-After."),
    "status": _fault(
        _FATAL,
        "Answer 200 and JSON, or 204; 503 where it may be tried again; 404 where you do not have the method.",
    ),
    # What it says
    "html": _fault(_FATAL, "Reply with a JSON object; it looks as if a web page or a proxy answered."),
    "byte-order-mark": _fault(_FATAL, "Encode as UTF-8 without a byte order mark."),
    "lenient-json": _fault(_FATAL, "NaN and Infinity are not JSON: send null, or leave the field out."),
    "duplicate-keys": _fault(_FATAL, "Send each key of an object once."),
    "not-json": _fault(_FATAL, "Reply with a JSON object, in UTF-8; `{}` has nothing to say."),
    "not-an-object": _fault(_FATAL, "Reply with a JSON object; `{}` has nothing to say."),
    "wrong-type": _fault(_FATAL, "Send the field as docs/protocol.md#what-may-be-replied says, or leave it out."),
    "illegal-phase": _fault(_FATAL, "Send one of the phases that docs/protocol.md#what-may-be-replied lists."),
    "bad-requeue": _fault(_FATAL, 'Write durations as Go does: "500ms", "2m", "1h30m".'),
    "wrong-identity": _fault(
        _FATAL, "Reply about what you were asked about, and leave out what names it: id, name, namespace, uid."
    ),
    "takes-finished-back": _fault(_FATAL, "Leave the phase of what has ended as it is, or out of the reply."),
    "illegal-change": _fault(_FATAL, "Change only what docs/protocol.md#what-may-be-replied lists."),
    "unknown-keys": _warning("Keys that the protocol does not know are ignored.", "Correct their names."),
    "leak": _fault(
        "A node gets what was meant for another.",
        "Keep what belongs to a call in local variables, and what is kept between calls by the node's id.",
    ),
    # What is answered in a simple case and not under other circumstances
    "phases": _fault(
        "Nodes and workflows come in every phase that the method is called in.", "Expect each phase, and no others."
    ),
    "repeated": _fault(
        "Every call may come more than once: a reply may get lost, and a pass may be made again.",
        "Make it idempotent, by the node's id and the workflow's uid.",
    ),
    "unknown-fields": _fault(
        "Workflows have fields that you do not know, and the protocol will have more arguments.",
        "Let the decoder ignore unknown fields (Go: no DisallowUnknownFields; pydantic: no extra='forbid').",
    ),
    "large": _fault(
        "Templates and workflows may be large: one in a cluster is up to 1.5 MB, which is what etcd takes.",
        "Raise the limit of the body, e.g. express.json({limit: '64mb'}).",
    ),
    "unicode": _fault(
        "Names of loops' nodes have their items in them, in any script.",
        "Read and write UTF-8, and count Content-Length in bytes.",
    ),
    "dribbled": _fault(
        "A request may arrive in any number of pieces.", "Read until the body has as many bytes as Content-Length says."
    ),
    "concurrency": _fault(
        "Several nodes are asked about at the same time.",
        "Share nothing between calls that run at once, or hold a lock.",
    ),
    "keep-alive": _fault(
        "What is sent on a connection that is closed meanwhile is lost, and may have been acted upon.",
        "Send `Connection: close` with the last reply before you close, or keep the connection.",
    ),
    # Batches
    "batch-count": _fault("The whole batch is an illegal reply.", "Reply with one entry for each call, `{}` included."),
    "batch-order": _fault("Nodes get each other's replies.", "Reply in the order of the calls."),
    "batch-differs": _fault(
        "A workflow must end the same, however its calls travelled.",
        "Answer each call of a batch by the same function as a single one; look its template up by its key.",
    ),
    "batch": _fault("The engine sends batches wherever they are answered.", "Answer each batch, or 404 to its path."),
    # What costs time
    "varies": _warning(
        "What changes in each pass is stored in each pass, and told to all plugins.",
        "Answer the same as long as nothing has happened: no times, counters or random numbers.",
    ),
    "slow": _warning(
        "A loop asks about thousands of nodes.", "Look at what takes the time: a name lookup, a connection, Nagle."
    ),
    "closes-connections": _warning(
        "A connection for each call costs several times the call.",
        "Speak HTTP/1.1 with keep-alive (http.server: protocol_version = 'HTTP/1.1').",
    ),
    "one-connection": _warning(
        "While one connection is kept, all others wait; the engine closes it after a tenth of a second.",
        "Serve each connection by a thread or a task of its own (ThreadingHTTPServer).",
    ),
    "unread-body": _warning(
        "The body is taken for the next request; the engine asks again, on another connection.",
        "Read the request's body before you answer, also a 404, or close the connection.",
    ),
}
"""By name. Those of the circumstances and of the batches are also the names of what was tried."""
