"""The client's contract: what each status and each broken transport comes to, and what is never sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rpc import BatchPolicy, Client, FatalError, Method, NotSent, Outcome, TransientError
from rpc.replies import NodeReply, NodeResult
from rpc.retries import RetryPolicy
from tests.asking import ask
from tests.undisturbed import undisturbed

NODE = Method.NODE_PRE_EXECUTE


@pytest.fixture(params=["aiohttp", "wire"])
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def connect(lane: Any) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """``await connect(address, ...)`` opens a client on the lane under test; all are closed at the end."""
    opened: list[Client] = []

    async def open_client(address: str, **options: Any) -> Client:
        once = RetryPolicy(attempts=1)
        client = Client(address, name="p", lane=lane, **{"protocol": "short", "retry": once, **options})
        opened.append(client)
        return await client.__aenter__()

    yield open_client
    for client in opened:
        await client.aclose()


async def test_call_returns_the_document_as_sent(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b'{"node": {"message": "m"}, "requeue": "2m", "own": [1]}'))
    client = await connect(peer.address)
    assert await client.call("node.preExecute", {"a": [1, "\u00e9"]}) == {
        "node": {"message": "m"},
        "requeue": "2m",
        "own": [1],
    }
    path, headers, body = peer.requests[0]
    assert path == "/node.preExecute"
    assert body == '{"a":[1,"\u00e9"]}'.encode()
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == peer.address.removeprefix("http://")
    assert "cookie" not in headers
    assert "authorization" not in headers


async def test_what_is_asked_has_a_typed_reply(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b'{"node": {"phase": "Failed"}, "requeue": "2m"}'))
    client = await connect(peer.address, batch=BatchPolicy(enabled=False))
    assert await ask(client, NODE) == NodeReply(NodeResult("Failed"), 120.0)


@pytest.mark.parametrize(("status", "body"), [("200 OK", b"{}"), ("200 OK", b""), ("204 No Content", b"")])
async def test_no_content_is_the_empty_reply(status: str, body: bytes, scripted: Any, http: Any, connect: Any) -> None:
    reply = http(status, body) if status[:3] == "200" else b"HTTP/1.1 204 No Content\r\n\r\n"
    peer = await scripted(reply)
    client = await connect(peer.address)
    assert await client.call(NODE, {}) == {}
    assert await client.call("node.preExecute", {}) == {}
    assert peer.connections == 1


@pytest.mark.parametrize("status", ["429 Slow", "502 Bad", "503 Busy", "504 Late"])
async def test_patience_is_transient(status: str, scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http(status, b"later", "Retry-After: 7"))
    client = await connect(peer.address)
    with pytest.raises(TransientError, match=f"status {status[:3]}, body: later") as caught:
        await client.call(NODE, {})
    assert caught.value.status == int(status[:3])
    assert caught.value.retry_after == 7.0
    assert caught.value.plugin == "p"
    assert caught.value.method == "node.preExecute"


@pytest.mark.parametrize(
    "status",
    ["201 Created", "206 Part", "301 Moved", "307 There", "308 There", "400 Bad", "401 No", "500 Oops", "501 No"],
)
async def test_any_other_status_is_fatal_with_an_excerpt(status: str, scripted: Any, http: Any, connect: Any) -> None:
    target = await scripted(http("200 OK", b"{}"))
    peer = await scripted(http(status, b"\n\xff" + b"x" * 300, f"Location: {target.address}/"))
    client = await connect(peer.address)
    with pytest.raises(FatalError) as caught:
        await client.call(NODE, {})
    assert caught.value.status == int(status[:3])
    assert str(caught.value) == (
        f"plugin 'p', node.preExecute: status {status[:3]}, body: \\n\\xff" + "x" * 254 + "..."
    )
    assert not target.requests


@pytest.mark.parametrize("body", [b"<html>", b"null", b'{"node": {"phase": "Done"}}', b'{"node": NaN}'])
async def test_an_illegal_reply_is_fatal(body: bytes, scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", body))
    client = await connect(peer.address)
    for attempt in (ask(client, NODE), client.call("node.preExecute", {})):
        with pytest.raises(FatalError, match="illegal reply") as caught:
            await attempt
        assert caught.value.status == 200
        assert body.decode() in str(caught.value)


async def test_an_oversized_reply_is_fatal(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b'{"node": {"message": "' + b"x" * 1000 + b'"}}'))
    client = await connect(peer.address, max_body=1000)
    with pytest.raises(FatalError):
        await client.call(NODE, {})


async def test_compression_that_nobody_asked_for_is_fatal(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}", "Content-Encoding: gzip"))
    client = await connect(peer.address)
    with pytest.raises(FatalError, match="gzip"):
        await client.call(NODE, {})


async def test_nobody_home_is_transient(connect: Any, closed_port: int) -> None:
    client = await connect(f"http://127.0.0.1:{closed_port}")
    with pytest.raises(TransientError) as caught:
        await client.call(NODE, {})
    assert caught.value.status is None
    assert caught.value.__cause__ is not None


async def test_a_missing_socket_file_is_transient(connect: Any, tmp_path: Any) -> None:
    client = await connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(TransientError):
        await client.call(NODE, {})


async def test_silence_is_transient_at_the_timeout(connect: Any) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    client = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.05)
    with pytest.raises(TransientError):
        await client.call(NODE, {})
    await client.aclose()
    server.close()


@undisturbed
async def test_a_reply_that_came_while_we_were_held_up_is_not_the_plugins_fault(
    lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lanes may deliver it or not; neither may blame the plugin."""
    monkeypatch.setattr(f"rpc.lanes.{lane}._LATE", 0.05)

    def hold_up_the_loop() -> None:
        time.sleep(0.3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        hold_up_the_loop()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Client(address, lane=lane, timeout=0.1, retry=RetryPolicy(attempts=1)) as client:
        with contextlib.suppress(TransientError):
            await client.call(NODE, {})
        assert client.stats.outcomes[Outcome.TIMED_OUT] == 0
        assert client.stats.outcomes[Outcome.ANSWERED] + client.stats.outcomes[Outcome.OWN_FAULT] == 1
    server.close()


async def test_a_token_is_sent_as_a_bearer_token(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"))
    client = await connect(peer.address, token="secret")
    await client.call(NODE, {})
    assert peer.requests[0][1]["authorization"] == "Bearer secret"


async def test_a_path_in_the_address_comes_before_the_method(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"))
    client = await connect(f"{peer.address}/plugins/hello/")
    await client.call(NODE, {})
    assert list(peer.paths) == ["/plugins/hello/node.preExecute"]


async def test_arguments_that_are_not_json_are_fatal_and_not_sent(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"))
    client = await connect(peer.address)
    with pytest.raises(FatalError, match="cannot be sent as JSON"):
        await client.call("node.preExecute", {"a": object()})
    assert not peer.requests


async def test_a_method_that_is_none_is_refused(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"))
    client = await connect(peer.address)
    for method in ("node.preexecute", "node.preExecute\r\nX: y", ""):
        with pytest.raises(ValueError, match="is not a valid Method"):
            await client.call(method, {})
    assert not peer.requests


async def test_more_calls_than_permits_wait_their_turn(connect: Any) -> None:
    now = most = 0
    go_on = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                now += 1
                most = max(most, now)
                if now == 3:
                    go_on.set()
                await go_on.wait()
                now -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    client = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", concurrency=3, timeout=30)
    client._spellings.settle(NODE, "short")
    replies = await asyncio.gather(*(client.call(NODE, {}) for _ in range(20)))
    assert replies == [{}] * 20
    assert most == 3
    await client.aclose()
    server.close()


async def test_a_cancelled_wait_for_a_permit_leaves_it_to_the_next(scripted: Any, http: Any, connect: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"))
    client = await connect(peer.address, concurrency=1)
    await client.call(NODE, {})
    calls = [asyncio.ensure_future(client.call(NODE, {})) for _ in range(10)]
    await asyncio.sleep(0)
    for call in calls[0:8]:
        call.cancel()
    await asyncio.gather(*calls[:8], return_exceptions=True)
    assert [await call for call in calls[8:]] == [{}, {}]
    assert await client.call(NODE, {}) == {}


async def test_calls_in_flight_when_the_client_closes_are_transient(connect: Any) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    arrived = asyncio.Event()
    server = await asyncio.start_server(never, "127.0.0.1", 0)
    client = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=30, concurrency=1)
    calls = [asyncio.ensure_future(client.call(NODE, {})) for _ in range(3)]
    await arrived.wait()
    await client.aclose()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, NotSent)
    assert client.stats.outcomes[Outcome.CANCELLED] == 1  # the two others waited to hear what the first one learns
    server.close()


async def test_a_client_that_was_never_opened_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client("http://localhost:1").call(NODE, {})


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"concurrency": 0},
        {"max_body": 0},
        {"token": "a\r\nb"},
        {"token": ""},
        {"token": "secret "},
        {"balance": "some"},
        {"lane": "fast"},
        {"protocol": "v2"},
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|printable"):
        Client("http://localhost:4355", **options)
