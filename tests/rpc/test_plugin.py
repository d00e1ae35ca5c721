"""The SDK: what an author's functions are given, and what peers of all manners get back."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import socket
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from rpc import Client, FatalError, Method, TransientError
from rpc.methods import SPELLINGS, Spelling
from rpc.plugin import Plugin, Unavailable
from tests.processes import started_here


@pytest.fixture
def plugin() -> Plugin:
    """Echoes its arguments as a patch in ``workflow.preOperate``, sync, and ``workflow.postOperate``, async."""
    plugin = Plugin("echo")

    @plugin.on("workflow.preOperate")
    def echo(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": args}

    @plugin.on("workflow.postOperate")
    async def echo_later(args: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"workflow": args}

    return plugin


async def raw(address: str, *pieces: bytes) -> bytes:
    """All that the plugin sends in answer to these bytes, until it closes or, told `Connection: close`, is done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def request(path: str, body: bytes = b"{}", *headers: str, verb: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{verb} {path} HTTP/{version}", "Host: h", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CLOSE = "Connection: close"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate"])
async def test_every_spelling_is_answered(plugin: Plugin, spelling: Spelling, method: str) -> None:
    async with plugin.serve() as address, Client(address, protocol=spelling) as client:
        assert await client.call(method, {"a": [1, "\u00e9"]}) == {"workflow": {"a": [1, "\u00e9"]}}
        assert await client.call("node.preExecute", {}) is None


async def test_a_unix_socket_is_served_and_removed_at_the_end(plugin: Plugin, tmp_path: Path) -> None:
    async with plugin.serve(unix=tmp_path / "p.sock") as address, Client(address) as client:
        assert address == f"unix://{tmp_path}/p.sock"
        assert await client.call("workflow.preOperate", {"a": 1}) == {"workflow": {"a": 1}}
    assert not (tmp_path / "p.sock").exists()


async def test_none_and_an_empty_dict_are_nothing() -> None:
    plugin = Plugin("p")
    plugin.on("workflow.preOperate")(lambda args: None)
    plugin.on("workflow.postOperate")(lambda args: {})
    async with plugin.serve() as address, Client(address) as client:
        assert await client.call("workflow.preOperate", {}) == {}
        assert await client.call("workflow.postOperate", {}) == {}


async def test_an_exception_is_a_500_that_says_nothing_of_it_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    plugin = Plugin("p")

    @plugin.on("workflow.preOperate")
    def fail(args: dict[str, Any]) -> None:
        raise KeyError("the password is x")

    @plugin.on("workflow.postOperate")
    async def fail_later(args: dict[str, Any]) -> None:
        raise KeyError("the password is x")

    async with plugin.serve() as address, Client(address) as client:
        for method in ("workflow.preOperate", "workflow.postOperate"):
            with pytest.raises(FatalError, match="the plugin failed, and its log says how") as caught:
                await client.call(method, {})
            assert caught.value.status == 500
            assert "KeyError" not in str(caught.value)
            assert "password" not in str(caught.value)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("reply", [[], "x", 1, {"a": object()}, {1: 2}])
async def test_a_reply_that_is_no_json_object_is_a_500(reply: Any, caplog: pytest.LogCaptureFixture) -> None:
    plugin = Plugin("p")
    plugin.on("workflow.preOperate")(lambda args: reply)
    async with plugin.serve() as address, Client(address) as client:
        with pytest.raises(FatalError, match="the plugin failed"):
            await client.call("workflow.preOperate", {})
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TypeError)


async def test_unavailable_is_a_503_with_retry_after() -> None:
    plugin = Plugin("p")

    @plugin.on("workflow.preOperate")
    def busy(args: dict[str, Any]) -> None:
        raise Unavailable("my database is away", retry_after=1.2)

    async with plugin.serve() as address, Client(address) as client:
        with pytest.raises(TransientError, match="my database is away") as caught:
            await client.call("workflow.preOperate", {})
    assert caught.value.retry_after == 2.0


async def test_other_verbs_and_paths_and_bodies_are_refused(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        for sent, status in [
            (request("/workflow.preOperate", verb="GET"), b"405 Method Not Allowed"),
            (request("/node.preExecute"), b"404 Not Found"),
            (request("/"), b"404 Not Found"),
            (request("/workflow.preOperate?x=y"), b"200 OK"),
            (request("/workflow.preOperate", b""), b"400 Bad Request"),
            (request("/workflow.preOperate", b"[]"), b"400 Bad Request"),
            (request("/workflow.preOperate", b"{"), b"400 Bad Request"),
        ]:
            answer = await raw(address, sent.replace(b"Host: h", b"Host: h\r\nConnection: close"))
            assert answer.startswith(b"HTTP/1.1 " + status), sent
            assert b"Connection: close\r\n" in answer
        assert (await raw(address, b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_token_is_asked_for() -> None:
    plugin = Plugin("p", token="secret")
    plugin.on("workflow.preOperate")(lambda args: None)
    async with plugin.serve() as address:
        async with Client(address, token="secret") as client:
            assert await client.call("workflow.preOperate", {}) == {}
        for token, status in ((None, 401), ("wrong", 403)):
            async with Client(address, token=token) as client:
                with pytest.raises(FatalError) as caught:
                    await client.call("workflow.preOperate", {})
                assert caught.value.status == status


async def test_pipelined_requests_are_answered_in_order(plugin: Plugin) -> None:
    gates = [asyncio.Event(), asyncio.Event()]

    @plugin.on("node.preExecute")
    async def gated(args: dict[str, Any]) -> dict[str, Any]:
        await gates[args["n"]].wait()
        return {"n": args["n"]}

    requests = [
        request("/node.preExecute", b'{"n": 0}'),
        request("/workflow.preOperate", b'{"n": 1}'),
        request("/node.preExecute", b'{"n": 1}'),
        request("/workflow.postOperate", b'{"n": 2}', CLOSE),
    ]
    async with plugin.serve() as address:
        answer = asyncio.ensure_future(raw(address, b"".join(requests)))
        gates[1].set()
        await asyncio.sleep(0)
        gates[0].set()
        bodies = [part.partition(b"\r\n\r\n")[2] for part in (await answer).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b'{"n":0}', b'{"workflow":{"n":1}}', b'{"n":1}', b'{"workflow":{"n":2}}']


async def test_a_request_in_pieces_is_one_request(plugin: Plugin) -> None:
    whole = request("/workflow.preOperate", b'{"a": 1}', CLOSE)
    async with plugin.serve() as address:
        answer = await raw(address, *(whole[i : i + 1] for i in range(len(whole))))
    assert answer.endswith(b'\r\n\r\n{"workflow":{"a":1}}')


async def test_a_chunked_request_is_read(plugin: Plugin) -> None:
    head = b"POST /workflow.preOperate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with plugin.serve() as address:
        answer = await raw(address, head + b'3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n')
    assert answer.endswith(b'{"workflow":{"a":1}}')


async def test_http_1_0_is_answered_and_closed(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        answer = await raw(address, request("/workflow.preOperate", version="1.0"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer


async def test_connections_are_kept_alive(plugin: Plugin) -> None:
    def two_calls(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.connect()
        sock = connection.sock
        for _ in range(2):
            connection.request("POST", "/workflow.preOperate", b"{}")
            assert json.loads(connection.getresponse().read()) == {"workflow": {}}
        assert connection.sock is sock
        connection.close()

    async with plugin.serve() as address:
        await asyncio.get_running_loop().run_in_executor(None, two_calls, int(address.rpartition(":")[2]))


async def test_a_client_that_expects_100_continue_is_told_so(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        answer = await raw(address, request("/workflow.preOperate", b"{}", "Expect: 100-continue", CLOSE))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_what_is_too_large_is_refused_and_the_answer_arrives() -> None:
    plugin = Plugin("p", max_body=1000)
    plugin.on("workflow.preOperate")(lambda args: None)
    async with plugin.serve() as address:
        assert (await raw(address, request("/workflow.preOperate", b"x" * 1001))).startswith(b"HTTP/1.1 413 ")
        assert (await raw(address, b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)).startswith(b"HTTP/1.1 431 ")


async def test_slow_functions_run_side_by_side(plugin: Plugin) -> None:
    together = asyncio.Barrier(6)

    @plugin.on("node.preExecute")
    async def meet(args: dict[str, Any]) -> None:
        await together.wait()

    async with plugin.serve() as address, Client(address, concurrency=6, timeout=30) as client:
        client._spellings.settle(Method.NODE_PRE_EXECUTE, "short")
        replies = await asyncio.gather(*(client.call("node.preExecute", {}) for _ in range(6)))
    assert replies == [{}] * 6


async def test_functions_that_still_run_at_the_end_are_cancelled(plugin: Plugin) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @plugin.on("node.preExecute")
    async def hang(args: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with plugin.serve() as address:
        client = await Client(address, timeout=30).__aenter__()
        call = asyncio.ensure_future(client.call("node.preExecute", {}))
        await started.wait()
    assert cancelled.is_set()
    with pytest.raises(TransientError):
        await call
    await client.aclose()


async def test_functions_that_finish_within_the_grace_time_are_answered(plugin: Plugin) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @plugin.on("node.preExecute")
    async def slow(args: dict[str, Any]) -> dict[str, Any]:
        started.set()
        await go_on.wait()
        return {"node": {"message": "done"}}

    async with plugin.serve(grace=30) as address:
        client = await Client(address, timeout=30).__aenter__()
        call = asyncio.ensure_future(client.call("node.preExecute", {}))
        await started.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    assert await call == {"node": {"message": "done"}}
    await client.aclose()


def test_a_method_that_is_none_or_taken_cannot_be_registered(plugin: Plugin) -> None:
    with pytest.raises(ValueError, match=r"not a valid Method, did you mean node\.preExecute\?"):
        plugin.on("node.preexecute")
    with pytest.raises(ValueError, match=r"not a valid Method, expected one of workflow\.preOperate, "):
        plugin.on("x")
    with pytest.raises(ValueError, match="already"):
        plugin.on("workflow.preOperate")


@pytest.mark.parametrize("token", ["", " ", "secret\n", " secret", "s\u00e9cret"])
def test_a_token_that_nobody_could_send_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"^a token is printable ASCII") as refused:
        Plugin("p", token=token)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("bound", ["max_body", "max_connections"])
def test_a_plugin_that_could_answer_nobody_is_refused(bound: str) -> None:
    options: dict[str, Any] = {bound: 0}
    with pytest.raises(ValueError, match=f"^{bound}: expected 1 or more, got 0$"):
        Plugin("p", **options)


def test_run_ends_in_one_line_where_it_cannot_listen(plugin: Plugin, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        plugin.run(port=taken.getsockname()[1])
    assert str(ended.value).startswith(f"plugin {plugin.name} cannot listen at 127.0.0.1:")
    assert str(ended.value).endswith("address already in use")
    with pytest.raises(SystemExit) as ended:
        plugin.run(unix=tmp_path / "none" / "socket")
    assert str(ended.value).endswith("none/socket: No such file or directory")


def test_a_port_that_is_none_is_refused_and_no_other_is_taken(plugin: Plugin) -> None:
    with pytest.raises(ValueError, match="port: expected 0 to 65535, got 99999"):
        plugin.run(port=99999)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    script = textwrap.dedent("""
        from rpc.plugin import Plugin
        plugin = Plugin("p")
        plugin.on("workflow.preOperate")(lambda args: {"workflow": {"a": 1}})
        plugin.run(port=0)
    """)
    async with started_here(sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE) as process:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        assert line.startswith('level=INFO msg="plugin is listening" name=p address=http://127.0.0.1:')
        async with Client(line.rpartition("address=")[2].strip()) as client:
            assert await client.call("workflow.preOperate", {}) == {"workflow": {"a": 1}}
        process.send_signal(number)
        _, rest = await process.communicate()
        assert process.returncode == 0
        assert rest == b""
