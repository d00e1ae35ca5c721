"""A healthy plugin, written down to the byte, and many that are broken in one way each."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from tests.verifying.peers import (
    END,
    HANG_UP,
    Answer,
    Read,
    Request,
    read_no_body,
    read_one_packet,
    read_whole,
    response,
)

PRE: Final = "/node.preExecute"
POST: Final = "/node.postExecute"
ADD: Final = "/parameters.add"
BEFORE: Final = "/workflow.preOperate"
AFTER: Final = "/workflow.postOperate"

Args = Mapping[str, Any]
Handler = Callable[[Any], object]
"""From arguments to a reply: bytes are sent as they are, anything else as JSON."""


def seen(args: Args) -> dict[str, Any]:
    """What a healthy one says of a node."""
    return {"node": {"message": f"seen {args['node']['displayName']}, {args['node']['phase']}"}}


def add(args: Args) -> dict[str, Any]:
    """What a healthy one says of parameters."""
    return {
        "parameters": {
            "hello": args["template"]["inputs"]["parameters"][0]["value"] if "inputs" in args["template"] else ""
        }
    }


def each(handler: Handler) -> Handler:
    """The batch of a handler."""

    def answer(batch: Args) -> dict[str, Any]:
        calls = [{**call, "template": batch["templates"][call["template"]]} for call in batch["calls"]]
        return {"replies": [handler(call) for call in calls]}

    return answer


def plugin(
    handlers: Mapping[str, Handler], send: Callable[[bytes], bytes] = lambda body: response(200, body)
) -> Answer:
    """One that has these paths."""

    async def answer(request: Request) -> bytes:
        if request.path not in handlers:
            return response(404, b"")
        reply = handlers[request.path](request.args)
        if isinstance(reply, Awaitable):
            reply = await reply
        return send(reply if isinstance(reply, bytes) else json.dumps(reply, ensure_ascii=False).encode())

    return answer


class Mutant(NamedTuple):
    """What is broken, the plugin, and the name of the finding that tells of it."""

    what: str
    finding: str
    make: Callable[[], Answer]
    read: Read = read_whole
    at_once: int = 1000


def says(path: str, reply: object) -> Callable[[], Answer]:
    """Always the same."""
    return lambda: plugin({path: lambda args: reply})


def sends(send: Callable[[bytes], bytes]) -> Callable[[], Answer]:
    """What is right, in a wrong way."""
    return lambda: plugin({PRE: seen}, send)


def always(answered: bytes | None) -> Callable[[], Answer]:
    """To whatever is asked."""

    async def answer(request: Request) -> bytes | None:
        return answered

    return lambda: answer


def fails_where(condition: Callable[[Request], bool], status: int) -> Callable[[], Answer]:
    """An error in some cases."""
    healthy = plugin({PRE: seen})

    async def answer(request: Request) -> bytes | None:
        return response(status, b"no") if condition(request) else await healthy(request)

    return lambda: answer


def fails_now_and_then(often: int) -> Answer:
    """An error to every so many requests."""
    healthy, count = plugin({PRE: seen}), 0

    async def answer(request: Request) -> bytes | None:
        nonlocal count
        count += request.path == PRE
        return response(500, b"no") if count % often == 0 and request.path == PRE else await healthy(request)

    return answer


def ends_where(condition: Callable[[Request], bool]) -> Answer:
    """The end of the server in some cases."""
    healthy = plugin({PRE: seen})

    async def answer(request: Request) -> bytes | None:
        return END if condition(request) else await healthy(request)

    return answer


def remembering(reply: Callable[[list[Any], Any], object]) -> Callable[[], Answer]:
    """One that keeps all the arguments that it was ever sent."""

    def make() -> Answer:
        known: list[Any] = []

        def handler(args: Args) -> object:
            known.append(args)
            return reply(known, args)

        return plugin({PRE: handler})

    return make


def batching(batch: Handler) -> Callable[[], Answer]:
    """A wrong batch beside a right method."""
    return lambda: plugin({PRE: seen, f"{PRE}.batch": batch})


def _shared() -> Answer:
    current = ""

    async def handler(args: Args) -> object:
        nonlocal current
        current = args["node"]["displayName"]
        await asyncio.sleep(0.002)
        return {"node": {"message": f"seen {current}"}}

    return plugin({PRE: handler})


def _drops() -> Answer:
    healthy = plugin({PRE: seen})

    async def answer(request: Request) -> bytes | None:
        return None if request.connection % 5 == 4 else await healthy(request)

    return answer


def _hangs_up() -> Answer:
    healthy = plugin({PRE: seen})

    async def answer(request: Request) -> bytes | None:
        answered = await healthy(request)
        return answered and answered + HANG_UP

    return answer


def _begins_with() -> Answer:
    async def answer(request: Request) -> bytes:
        return response(200, b"{}") if request.path.startswith(PRE) else response(404, b"")

    return answer


def _empty_elsewhere() -> Answer:
    healthy = plugin({PRE: seen})

    async def answer(request: Request) -> bytes | None:
        return await healthy(request) if request.path == PRE else response(200, b"")

    return answer


def _sleeps(seconds: float) -> Callable[[], Answer]:
    async def handler(args: Args) -> object:
        await asyncio.sleep(seconds)
        return {}

    return lambda: plugin({PRE: handler})


def _unread() -> Answer:
    async def answer(request: Request) -> bytes:
        if not request.path:
            return response(400, b"bad request", "Connection: close") + HANG_UP
        return response(200 if request.path == PRE else 404, b"{}")

    return answer


def _knows_only(known: set[str]) -> Callable[[Request], bool]:
    return lambda request: request.path == PRE and not set(request.args) <= known


def _about_one_that_runs(request: Request) -> bool:
    return request.path == PRE and request.args["node"]["phase"] == "Running"


def _backwards(batch: Any) -> object:
    replies: Any = each(seen)(batch)
    return {"replies": replies["replies"][::-1]}


def _first_template(batch: Any) -> object:
    template = next(iter(batch["templates"].values()))
    return {"replies": [add({**call, "template": template}) for call in batch["calls"]]}


def _silent_where_running(batch: Any) -> object:
    return {"replies": [{} if call["node"]["phase"] == "Running" else seen(call) for call in batch["calls"]]}


MUTANTS: Final = [
    # What comes back
    Mutant("an error to every call", "status", sends(lambda body: response(500, body))),
    Mutant("201 for what was made", "status", sends(lambda body: response(201, body))),
    Mutant("503 for ever", "busy", sends(lambda body: response(503, b"", "Retry-After: 1"))),
    Mutant("a token, where none was given", "token", sends(lambda body: response(401, b"who?"))),
    Mutant("a redirect to https", "redirect", sends(lambda body: response(308, b"", "Location: https://localhost/"))),
    Mutant("501 to everything", "no-method", always(response(501, b""))),
    Mutant("404 to everything", "no-method", always(response(404, b""))),
    Mutant("methods under a prefix", "no-method", lambda: plugin({f"/plugin{PRE}": seen})),
    Mutant("200 with nothing to paths that it does not have", "unknown-path", _empty_elsewhere),
    Mutant("200 to all paths that begin as a method's does", "unknown-path", _begins_with),
    Mutant("a page", "html", sends(lambda body: response(200, b"<!doctype html><title>Welcome</title>"))),
    Mutant("JSON that is cut off", "not-json", sends(lambda body: response(200, body[:-1]))),
    Mutant("less than Content-Length says", "wrong-length",
           sends(lambda body: response(200, body[:9], length=len(body)) + HANG_UP)),
    Mutant("more than Content-Length says", "wrong-length", sends(lambda body: response(200, body, length=9))),
    Mutant("a Content-Length in characters", "unicode",
           sends(lambda body: response(200, body, length=len(body.decode())))),
    Mutant("chunks that are none", "bad-framing",
           sends(lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + body)),
    Mutant("gzip, though identity was asked for", "compressed",
           sends(lambda body: response(200, gzip.compress(body), "Content-Encoding: gzip"))),
    Mutant("five megabytes", "too-large", sends(lambda body: response(200, b'{"x": "%b"}' % (b"x" * 5_000_000)))),
    Mutant("a byte order mark", "byte-order-mark", sends(lambda body: response(200, b"\xef\xbb\xbf" + body))),
    Mutant("no reply to a fifth of all connections", "no-reply", _drops),
    Mutant("a reply that comes too late", "timeout", _sleeps(0.7)),
    # What it says
    Mutant("another node's id", "wrong-identity", says(PRE, {"node": {"id": "other"}})),
    Mutant("another node's name", "wrong-identity", says(PRE, {"node": {"name": "other"}})),
    Mutant("the template as the node", "wrong-identity",
           lambda: plugin({PRE: lambda args: {"node": args["template"]}})),
    Mutant("another workflow's uid", "wrong-identity", says(BEFORE, {"workflow": {"metadata": {"uid": "other"}}})),
    Mutant("a phase of its own for a node", "illegal-phase", says(PRE, {"node": {"phase": "Done"}})),
    Mutant("a phase of its own for a workflow", "illegal-phase",
           says(BEFORE, {"workflow": {"status": {"phase": "Refused"}}})),
    Mutant("a node that had ended runs again", "takes-finished-back", says(POST, {"node": {"phase": "Running"}})),
    Mutant("a workflow that had ended runs again", "takes-finished-back",
           says(AFTER, {"workflow": {"status": {"phase": "Running"}}})),
    Mutant("a patch of nodes", "illegal-change", says(BEFORE, {"workflow": {"status": {"nodes": {}}}})),
    Mutant("requeue in words", "bad-requeue", says(PRE, {"requeue": "10 seconds"})),
    Mutant("requeue as a number", "bad-requeue", says(PRE, {"requeue": 10})),
    Mutant("a number for the message", "wrong-type", says(PRE, {"node": {"message": 5}})),
    Mutant("parameters that are no strings", "wrong-type", says(ADD, {"parameters": {"hello": 5}})),
    Mutant("a key twice", "duplicate-keys", says(PRE, b'{"node": {"message": "a", "message": "b"}}')),
    Mutant("NaN", "lenient-json",
           says(PRE, {"node": {"outputs": {"parameters": [{"name": "a", "value": float("nan")}]}}})),
    Mutant("a list", "not-an-object", says(PRE, [])),
    Mutant("null", "not-an-object", says(PRE, None)),
    Mutant("a key that nobody knows", "unknown-keys", says(PRE, {"node": {"mesage": "hello"}})),
    # What becomes of one call after others, and beside them
    Mutant("the names of all nodes so far", "leak", remembering(
        lambda known, args: {"node": {"message": ", ".join(it["node"]["displayName"] for it in known)}})),
    Mutant("the reply to the call before", "leak", remembering(lambda known, args: seen(known[-2:][0]))),
    Mutant("the workflow of the first call for ever", "leak", remembering(
        lambda known, args: {"node": {"message": known[0]["workflow"]["metadata"]["name"]}})),
    Mutant("an error now and then", "status", lambda: fails_now_and_then(7)),
    Mutant("a conflict where it comes again", "repeated", remembering(
        lambda known, args: seen(args) if known.count(args) == 1 else b"already there")),
    Mutant("a counter in its replies", "varies", remembering(
        lambda known, args: {"node": {"message": f"call {len(known)}"}})),
    Mutant("ends where it does not know what to do", "large",
           lambda: ends_where(lambda request: len(request.body) > 100_000)),
    Mutant("one variable for all threads", "concurrency", _shared),
    Mutant("one connection at a time", "one-connection", lambda: plugin({PRE: seen}), at_once=1),
    Mutant("hangs up after each reply without saying so", "keep-alive", _hangs_up),
    Mutant("closes after each reply and says so", "closes-connections",
           sends(lambda body: response(200, body, "Connection: close") + HANG_UP)),
    Mutant("leaves the body for the next request", "unread-body", _unread, read_no_body),
    Mutant("takes its time", "slow", _sleeps(0.02)),
    # What is in the arguments
    Mutant("no body of more than 100 kB", "large", fails_where(lambda request: len(request.body) > 100_000, 413)),
    Mutant("no argument of tomorrow", "unknown-fields",
           fails_where(_knows_only({"workflow", "template", "node"}), 422)),
    Mutant("ASCII only", "unicode", fails_where(lambda request: not request.body.isascii(), 400)),
    Mutant("no node that runs", "phases", fails_where(_about_one_that_runs, 500)),
    Mutant("reads what came in the first packet", "dribbled",
           fails_where(lambda request: request.headers.get("content-length") != str(len(request.body)), 400),
           read_one_packet),
    # Batches
    Mutant("a batch backwards", "batch-order", batching(_backwards)),
    Mutant("a batch without what has nothing to say", "batch-count",
           batching(lambda batch: {"replies": [seen(call) for call in batch["calls"][1:]]})),
    Mutant("another answer in batches", "batch-differs", batching(_silent_where_running)),
    Mutant("one template for a whole batch", "batch-order",
           lambda: plugin({ADD: add, f"{ADD}.batch": _first_template})),
    Mutant("null in a batch", "not-an-object", batching(lambda batch: {"replies": [None for _ in batch["calls"]]})),
    Mutant("an error to every batch", "batch", fails_where(lambda request: request.path == f"{PRE}.batch", 500)),
]  # fmt: skip
