"""Nobody from elsewhere gets in, be it by way of a browser, and nobody keeps the server from its work."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import closing, suppress

import pytest

from engine import PendingExecutor
from engine.serving import requests
from engine.serving.connections import SILENT, STALLED, Connections
from engine.serving.requests import MAX_BODY
from engine.serving.server import Listening
from tests.serving.inside import HERE, Inside, inside, workflow

PATH = "/api/v1/workflows/default"
GUARDED = HERE._replace(token="secret")
ELSEWHERE = Listening("127.0.0.1", 0, "secret", loopback=False, tls=None)


# Who may


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer secretx"},
        {"Authorization": "Basic c2VjcmV0"},
        {"Authorization": "secret"},
        {"Authorization": "Bearer s\u00e9cret"},
    ],
)
async def test_without_the_token_nothing_but_health_is_told(headers: dict[str, str]) -> None:
    async with inside(PendingExecutor(), listening=GUARDED) as server:
        for method, path in (("GET", PATH), ("POST", PATH), ("GET", "/api/v1/version"), ("GET", "/nothing")):
            answer = await server.ask(method, path, headers=headers)
            assert answer.error[:2] == (401, 16)
        assert (await server.ask("GET", "/healthz", headers=headers)).status == 200
        assert (await server.ask("GET", "/readyz", headers=headers)).status == 200


async def test_with_the_token_all_is_told() -> None:
    async with inside(PendingExecutor(), listening=ELSEWHERE) as server:
        for token in ("Bearer secret", "bearer secret"):
            headers = {"Authorization": token, "Host": "oarlock.example"}
            assert (await server.ask("POST", PATH, {"workflow": workflow()}, headers=headers)).status == 200
        assert (await server.ask("GET", "/api/v1/userinfo", headers=headers)).body["subject"] == "token"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:2746", 200),
        ("127.0.0.1", 200),
        ("127.1.2.3:80", 200),
        ("[::1]:2746", 200),
        ("LOCALHOST.", 200),
        ("evil.example", 403),
        ("evil.example:2746", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1", 403),
        ("", 403),
        ("[::1", 400),
    ],
)
async def test_on_loopback_a_name_from_elsewhere_is_refused(host: str, status: int) -> None:
    async with inside(PendingExecutor()) as server:
        answer = await server.ask("GET", PATH, headers={"Host": host})
        assert answer.status == status
        if status != 200:
            assert "Host" in answer.error[2]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_from_elsewhere_submits_and_reads_nothing(headers: dict[str, str]) -> None:
    async with inside(PendingExecutor()) as server:
        for method in ("GET", "POST", "OPTIONS"):
            async with server.session.request(method, server.url + PATH, headers=headers) as response:
                assert response.status == 403
                assert not [each for each in response.headers if each.lower().startswith("access-control")]
        assert not server.records.hub.items


async def test_a_page_of_the_servers_own_may() -> None:
    async with inside(PendingExecutor()) as server:
        headers = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        answer = await server.ask("POST", PATH, {"workflow": workflow()}, headers=headers)
        assert answer.status == 200


@pytest.mark.parametrize("content", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_a_form_can_send_is_refused(content: str) -> None:
    async with inside(PendingExecutor()) as server:
        body = json.dumps({"workflow": workflow()}).encode()
        answer = await server.ask("POST", PATH, data=body, headers={"Content-Type": content})
        assert answer.error[:2] == (415, 3)
        assert not server.records.hub.items


async def test_a_body_of_argos_own_client_is_read_though_it_is_not_said_to_be_json() -> None:
    """`argo` over HTTP/1 has no Content-Type, and an Authorization that may be empty (its pkg/apiclient/http1)."""
    async with inside(PendingExecutor()) as server:
        body = json.dumps({"namespace": "default", "workflow": workflow("one")}).encode()
        for authorization, status in ((b"", 415), (b"Authorization: \r\n", 200), (b"Authorization: x\r\n", 409)):
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n".encode()
            reader, writer = await raw(server, head + authorization + b"\r\n" + body)
            with closing(writer):
                assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        form = {"Authorization": "", "Content-Type": "text/plain"}
        assert (await server.ask("POST", PATH, data=body, headers=form)).error[:2] == (415, 3)


# How much


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with inside(PendingExecutor()) as server:
        whole = b'{"workflow": "' + b"x" * MAX_BODY + b'"}'
        refused = (413, 8, "body: expected at most 8 MiB")
        assert (await server.ask("POST", PATH, data=whole)).error == refused
        packed = {"Content-Encoding": "gzip"}
        assert (await server.ask("POST", PATH, data=gzip.compress(whole), headers=packed)).error == refused
        assert (await server.ask("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    "headers",
    [b"Content-Encoding: gzip\r\nContent-Length: 5", b"Content-Encoding: deflate\r\nTransfer-Encoding: chunked"],
)
async def test_a_body_that_is_not_what_its_header_says_is_refused(headers: bytes) -> None:
    async with inside(PendingExecutor()) as server:
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
        reader, writer = await raw(server, head + headers + b"\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert b'{"code":3,"message":"body: expected one as its header says: ' in await reader.readuntil(b"}")
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_what_is_no_http_leaves_no_trace_in_the_log(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with inside(PendingExecutor()) as server:
        reader, writer = await raw(server, sent)
        assert b" 400 " in await reader.readline()
        writer.close()
    (record,) = (each for each in caplog.records if each.name == "aiohttp.server")
    assert record.exc_info is None
    assert "\n" not in record.getMessage()


async def raw(server: Inside, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which that was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def gone(reader: asyncio.StreamReader) -> None:
    """Wait until the server has closed the connection, with all that was still to be read or without."""
    with suppress(ConnectionError):
        while await reader.read(1 << 20):
            pass


REQUEST = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        REQUEST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        REQUEST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_http_is_answered_in_one_line_if_at_all(data: bytes) -> None:
    async with inside(PendingExecutor()) as server:
        reader, writer = await raw(server, data)
        writer.write_eof()
        answer = await reader.read()
        assert b"Traceback" not in answer
        assert answer == b"" or answer.split(b" ")[1].startswith(b"4")
        writer.close()
        assert (await server.ask("GET", "/healthz")).status == 200


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("data", [b"", b"GET / HTT", REQUEST, REQUEST + b"X-Slow: "])
async def test_who_does_not_get_to_the_end_of_a_header_is_let_go(data: bytes) -> None:
    clock = Clock()
    connections = Connections(clock)
    async with inside(PendingExecutor(), connections=connections) as server:
        reader, writer = await raw(server, data)
        assert server.runner.server is not None
        assert (await server.ask("GET", "/healthz")).status == 200  # by then it has the other one, too
        connections.sweep(server.runner.server)
        clock.now += SILENT
        connections.sweep(server.runner.server)
        writer.write(b"x")  # which changes nothing
        clock.now += 1
        connections.sweep(server.runner.server)
        with closing(writer):
            await gone(reader)


async def test_who_asks_often_enough_is_kept() -> None:
    clock = Clock()
    connections = Connections(clock)
    async with inside(PendingExecutor(), connections=connections) as server:
        assert server.runner.server is not None
        async with server.session.get(f"{server.url}/api/v1/workflow-events/") as watching:
            for _ in range(5):
                assert (await server.ask("GET", "/healthz")).status == 200
                clock.now += SILENT - 1
                connections.sweep(server.runner.server)
            await server.submit(workflow("a"))
            assert b'"ADDED"' in await watching.content.readline()


async def test_half_a_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_TIMEOUT", 0.05)
    async with inside(PendingExecutor()) as server:
        reader, writer = await raw(server, REQUEST + b"Content-Length: 100\r\n\r\n{")
        with closing(writer):
            assert b" 408 " in await reader.readline()


async def test_who_takes_nothing_is_let_go() -> None:
    clock = Clock()
    connections = Connections(clock)
    async with inside(PendingExecutor(), connections=connections) as server:
        assert server.runner.server is not None
        await server.submit(workflow("big", x="y" * 8_000_000) | {})
        header = b"GET " + PATH.encode() + b"/big HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reader, writer = await raw(server, header)
        sending = None
        while sending is None:
            await asyncio.sleep(0)
            for each in server.runner.server.connections:
                if each.transport is not None and each.transport.get_write_buffer_size():
                    sending = each.transport
        size = -1
        while size != sending.get_write_buffer_size():  # the kernel has taken what it takes
            size = sending.get_write_buffer_size()
            await asyncio.sleep(0.05)
        connections.sweep(server.runner.server)
        clock.now += STALLED + 1
        connections.sweep(server.runner.server)
        with closing(writer):
            await gone(reader)


@pytest.mark.parametrize("kind", [ZeroDivisionError, TimeoutError, ConnectionResetError])
async def test_a_mistake_of_ours_tells_nobody_but_the_log(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise kind("deep inside")

    async with inside(PendingExecutor()) as server:
        monkeypatch.setattr(server.records, "find", fail)
        answer = await server.ask("GET", f"{PATH}/a")
        assert answer.error == (500, 13, "internal error")
    assert kind.__name__ in caplog.text
