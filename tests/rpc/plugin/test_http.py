"""Requests in every form that HTTP/1.1 has for them: none is left without an answer."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest

from rpc.plugin import Plugin, Unavailable
from tests.processes import started_here
from tests.rpc.plugin.peers import Peer, echo, request, talk

CLOSE = "Connection: close"
OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
BOTH = ["/workflow.preOperate", "/workflow.postOperate"]


def chunked(path: str, *lines: str) -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", *lines])
    return head.encode() + b'\r\n\r\n3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\nTrailer: x\r\n\r\n'


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("framed", [lambda path, *lines: request(path, b'{"a": 1}', *lines), chunked])
@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_an_offer_of_http_2_is_declined_and_the_request_served(
    plugin: Plugin, path: str, framed: Any, size: int
) -> None:
    offering = framed(path, *OFFER)
    sent = offering + request(path, b'{"b": 2}') + offering + request(path, b'{"c": 3}', CLOSE)
    async with plugin.serve() as address:
        answer = await talk(address, *(sent[at : at + size] for at in range(0, len(sent), size)))
    bodies = [each.partition(b"\r\n\r\n")[2] for each in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b'{"workflow":{"%c":%d}}' % pair for pair in ((97, 1), (98, 2), (97, 1), (99, 3))]


async def test_offers_of_other_protocols_are_declined_too(plugin: Plugin) -> None:
    sent = request(BOTH[0], b"{}", "Connection: Upgrade", "Upgrade: websocket, foo/2", "Sec-WebSocket-Version: 13")
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        for _ in range(2):
            await peer.send(sent)
            assert (await peer.answer())[::2] == (200, b'{"workflow":{}}')
        await peer.send(request(BOTH[0], b"{}", "Upgrade: h2c", "Connection: Upgrade, close"))
        assert (await peer.rest()).count(b"Connection: close\r\n") == 1
        await peer.close()


async def test_thousands_of_offers_at_once_are_each_declined(plugin: Plugin) -> None:
    sent = request("/nowhere", b"", *OFFER) * 2000 + request(BOTH[0], b"{}", CLOSE)
    async with plugin.serve() as address:
        answer = await talk(address, sent)
    assert answer.count(b"HTTP/1.1 404 ") == 2000
    assert answer.endswith(b'{"workflow":{}}')


async def test_an_offer_with_a_body_over_the_limit_is_refused() -> None:
    async with echo(max_body=1000).serve() as address:
        assert (await talk(address, request(BOTH[0], b"x" * 1001, *OFFER))).startswith(b"HTTP/1.1 413 ")


async def test_who_speaks_http_1_0_is_sent_nothing_before_the_answer(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        answer = await talk(address, request(BOTH[0], b"{}", "Expect: 100-continue", version="1.0"))
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://h/workflow.preOperate", 200),
        ("http://h:4355/workflow.preOperate?x=http://y/z", 200),
        ("HTTPS://h/workflow.preOperate", 200),
        ("http://[::1]:4355/workflow.preOperate", 200),
        ("http://h/api/v1/workflow.preOperate", 200),
        ("/workflow.preOperate?next=http://h/", 200),
        ("http://h/nowhere", 404),
        ("http://h", 404),
        ("http://h?/workflow.preOperate", 404),
        ("/http://h/workflow.preOperate", 404),
        ("//workflow.preOperate", 404),
    ],
)
async def test_a_target_may_be_a_whole_url(plugin: Plugin, target: str, status: int) -> None:
    async with plugin.serve() as address:
        assert (await talk(address, request(target, b"{}", CLOSE))).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
async def test_other_verbs_are_told_which_one_to_use(plugin: Plugin, verb: str) -> None:
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        for target in (*BOTH, "/", "*") if verb == "OPTIONS" else (*BOTH, "/"):
            await peer.send(request(target, b"", verb=verb))
            status, headers, body = await peer.answer()
            assert (status, headers["allow"], bool(body)) == (405, "POST", True)
        await peer.close()


async def test_a_tunnel_is_refused(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        answer = await talk(address, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n\x16\x03\x01")
    assert answer.startswith(b"HTTP/1.1 405 ")


async def test_head_is_answered_without_a_body(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        for target in ("/workflow.preOperate", "/", "http://h/x"):
            await peer.send(request(target, b"", verb="HEAD"))
            status, headers, _ = await peer.answer(bodiless=True)
            assert (status, headers["allow"]) == (405, "POST")
            assert int(headers["content-length"]) > 0
        await peer.send(request(BOTH[0], b'{"a":1}'))
        assert (await peer.answer())[::2] == (200, b'{"workflow":{"a":1}}')
        await peer.close()
    async with echo(token="t").serve() as address:
        answer = await talk(address, request("/", b"", verb="HEAD"))
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert answer.endswith(b"\r\n\r\n")


async def test_http_2_without_an_offer_is_refused_in_http_1_1(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        answer = await talk(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "options", [["--http2"], ["--http1.1"], ["--http1.0"], ["--http2", "-H", "Expect: 100-continue"]]
)
@pytest.mark.parametrize("size", [2, 100_000])
async def test_curl_is_served_whatever_it_offers(plugin: Plugin, options: list[str], size: int) -> None:
    body = b'{"a":"%b"}' % (b"x" * size)
    async with plugin.serve() as address:
        command = ("curl", "-sS", *options, "--data-binary", "@-", f"{address}/workflow.postOperate")
        async with started_here(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE) as curl:
            out, _ = await curl.communicate(body)
    assert (curl.returncode, out) == (0, b'{"workflow":' + body + b"}")


@pytest.mark.parametrize("path", BOTH)
async def test_a_peer_that_ends_its_side_is_answered(plugin: Plugin, path: str) -> None:
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        await peer.send(request(path, b'{"n":1}') + request(path, b'{"n":2}') + request(path, b'{"n":3}'))
        peer.writer.write_eof()
        answer = await peer.rest()
        await peer.close()
    assert [b'{"n":%d}' % n in answer for n in (1, 2, 3)] == [True] * 3


@pytest.mark.parametrize("cut", [1, 30, 60, -1])
async def test_a_request_that_ends_early_is_told_so(plugin: Plugin, cut: int) -> None:
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        await peer.send(request(BOTH[0], b'{"n": 1}')[:cut])
        peer.writer.write_eof()
        assert (await peer.rest()).startswith(b"HTTP/1.1 400 ")
        await peer.close()


async def test_what_is_refused_comes_after_the_answers_before_it(plugin: Plugin) -> None:
    go_on = asyncio.Event()

    @plugin.on("node.preExecute")
    async def wait(args: dict[str, Any]) -> dict[str, Any]:
        await go_on.wait()
        return {"node": {"message": "done"}}

    async with plugin.serve() as address:
        peer = await Peer.of(address)
        await peer.send(request("/node.preExecute"), request(BOTH[0]), b"nonsense\r\n\r\n")
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert (await peer.answer())[::2] == (200, b'{"node":{"message":"done"}}')
        assert (await peer.answer())[::2] == (200, b'{"workflow":{}}')
        assert (await peer.answer())[0] == 400
        assert await peer.rest() == b""
        await peer.close()


async def test_bytes_behind_a_last_request_do_not_take_its_answer_away(plugin: Plugin) -> None:
    async with plugin.serve() as address:
        for path in BOTH:
            answer = await talk(address, request(path, b'{"n":1}', CLOSE) + b"\r\n\r\nnonsense")
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b'{"workflow":{"n":1}}')


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), TimeoutError(), RecursionError(), MemoryError()])
async def test_whatever_a_function_raises_is_answered(error: BaseException, asynchronous: bool) -> None:
    plugin = Plugin("p")

    def fail(args: dict[str, Any]) -> None:
        raise error

    async def fail_later(args: dict[str, Any]) -> None:
        raise error

    plugin.on("workflow.preOperate")(fail_later if asynchronous else fail)
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        for _ in range(2):
            await peer.send(request("/workflow.preOperate"))
            assert (await peer.answer())[::2] == (500, b'{"message":"the plugin failed, and its log says how"}')
        await peer.close()


def test_a_wait_that_is_no_number_is_the_authors_mistake() -> None:
    wrong: Any = "soon"
    with pytest.raises(ValueError, match="soon"):
        Unavailable("busy", retry_after=wrong)
