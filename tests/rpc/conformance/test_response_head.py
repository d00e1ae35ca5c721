"""Rows "response head" of the faults: what a lane makes of a status line, headers and interim replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rpc.lanes import MAX_HEAD, MAX_HEADERS, MAX_INTERIM, Broken, Lane, Malformed, Response
from tests.asking import post
from tests.rpc.conformance.peers import GOOD_REPLY, Case, Line, MakeLane, MakePeer, Peer, outcome, serve_well

Play = Callable[..., Awaitable[None]]
EMPTY = Response(200, b"{}")
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 2\r\n\r\n{}"


def interim(count: int, status: bytes = b"100 Continue") -> bytes:
    return (b"HTTP/1.1 " + status + b"\r\n\r\n") * count


DELIVERED = {
    "plain": Case(PLAIN, EMPTY, kept=True),
    "continue_100": Case(interim(1) + PLAIN, EMPTY, kept=True),
    "processing_102": Case(interim(1, b"102 Processing") + PLAIN, EMPTY, kept=True),
    "early_hints_103": Case(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + PLAIN, EMPTY, kept=True),
    "as_many_interim_replies_as_allowed": Case(interim(MAX_INTERIM) + PLAIN, EMPTY, kept=True),
    "folded_header_line": Case(
        OK + b"X-Folded: one\r\n two\r\n\tthree\r\nContent-Length: 2\r\n\r\n{}", EMPTY, kept=True
    ),
    "bare_lf": Case(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", EMPTY, kept=True),
    "bare_lf_now_and_then": Case(b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\n{}", EMPTY, kept=True),
    "no_reason_phrase": Case(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", EMPTY, kept=True),
    "header_names_in_any_case": Case(OK + b"cOnTeNt-LeNgTh:2  \r\n\r\n{}", EMPTY, kept=True),
    "as_many_headers_as_allowed": Case(
        OK + b"X: y\r\n" * (MAX_HEADERS - 1) + b"Content-Length: 2\r\n\r\n{}", EMPTY, kept=True
    ),
    "a_head_nearly_as_large_as_allowed": Case(
        OK + b"X: " + b"y" * (MAX_HEAD - 200) + b"\r\nContent-Length: 2\r\n\r\n{}", EMPTY, kept=True
    ),
    "http_1_0_with_length": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", EMPTY),
    "http_1_0_kept_alive": Case(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", EMPTY, kept=True
    ),
    "connection_close": Case(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", EMPTY),
    "no_content_204": Case(b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, b""), kept=True),
    "redirect_is_not_followed": Case(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        Response(307, b""),
        kept=True,
    ),
    "busy_503_with_retry_after": Case(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\n{}", Response(503, b"{}", "2"), kept=True
    ),
    "busy_429_with_retry_after_a_date": Case(
        b"HTTP/1.1 429 Slow\r\nRetry-After:  Fri, 31 Dec 1999 23:59:59 GMT \r\nContent-Length: 0\r\n\r\n",
        Response(429, b"", "Fri, 31 Dec 1999 23:59:59 GMT"),
        kept=True,
    ),
}

MALFORMED = {
    "one_interim_reply_too_many": interim(MAX_INTERIM + 1) + PLAIN,
    "two_content_lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two_different_content_lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "content_length_with_transfer_encoding": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "transfer_encoding_with_content_length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "unknown_transfer_encoding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two_transfer_encodings": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "negative_content_length": OK + b"Content-Length: -2\r\n\r\n{}",
    "huge_content_length": OK + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "content_length_that_is_no_number": OK + b"Content-Length: two\r\n\r\n{}",
    "header_over_the_limit": OK + b"X: " + b"y" * MAX_HEAD + b"\r\nContent-Length: 2\r\n\r\n{}",
    "many_headers_over_the_limit": OK + (b"X: " + b"y" * 1000 + b"\r\n") * 70 + b"Content-Length: 2\r\n\r\n{}",
    "one_header_line_too_many": OK + b"X: y\r\n" * MAX_HEADERS + b"Content-Length: 2\r\n\r\n{}",
    "http_0_9": b"<html>Welcome</html>",
    "http_0_9_said_aloud": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "http_2_preface": b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64",
    "http_2_said_aloud": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a_protocol_switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a_header_without_a_colon": OK + b"Content Length 2\r\n\r\n{}",
    "a_header_with_a_nul": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a_status_that_is_no_number": b"HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\n{}",
    "another_protocol": b"220 mail.example.org ESMTP\r\n",
}


@pytest.mark.parametrize("name", DELIVERED)
async def test_a_good_head_is_delivered(name: str, play: Play) -> None:
    await play(DELIVERED[name])


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_bad_head_is_malformed_and_its_connection_closed(name: str, play: Play) -> None:
    await play(Case(MALFORMED[name], Malformed))


@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_a_head_cut_short_is_broken(ending: str, play: Play) -> None:
    await play(Case(OK + b"Content-Length: 2\r\nX-Tr", Broken, ending=ending))


@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_interim_replies_and_no_more_is_broken(ending: str, play: Play) -> None:
    await play(Case(interim(2), Broken, ending=ending))


async def test_endless_interim_replies_are_malformed(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        while True:
            await line.send(interim(1))

    it = await peer(script)
    assert await outcome(post(lane(it.address), "/", b"{}")) is Malformed


@pytest.mark.parametrize("before", [b"", interim(1)], ids=["at_first", "after_an_interim_reply"])
async def test_endless_blank_lines_are_malformed(before: bytes, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(before)
        while True:
            await line.send(b"\r\n" * 1000)

    it = await peer(script)
    assert await outcome(post(lane(it.address), "/", b"{}")) is Malformed


async def test_blank_lines_between_interim_replies_count_with_the_next_head(play: Play) -> None:
    await play(
        Case((b"\r\n" * 100 + interim(1)) * 3 + OK + b"Content-Length: 2\r\n\r\n{}", Response(200, b"{}"), kept=True)
    )


async def test_a_greeting_before_the_request_is_taken_for_the_reply(
    lane: Callable[..., Lane], peer: Callable[..., Awaitable[Peer]]
) -> None:
    async def script(line: Line) -> None:
        await line.send(b"220 mail.example.org ESMTP\r\n")
        await line.gone()

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) is Malformed
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


async def test_an_endless_header_is_malformed(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(OK + b"X: ")
        while True:
            await line.send(b"y" * 10_000)

    it = await peer(script)
    assert await outcome(post(lane(it.address), "/", b"{}")) is Malformed
