"""Rows "response body" of the faults: where a reply ends, and what is made of one that does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from rpc.lanes import MAX_HEAD, MAX_HEADERS, Broken, Malformed, Response, TooLarge
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, Case, Line, MakeLane, MakePeer, outcome

Play = Callable[..., Awaitable[None]]
EMPTY = Response(200, b"{}")
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 2\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.7\r\n\r\n"

CASES = {
    "http_1_0_close_delimited_at_fin": Case(OLD + b"{}", EMPTY, "fin"),
    "close_delimited_at_fin": Case(OK + b"\r\n{}", EMPTY, "fin"),
    "close_delimited_and_not_json_at_fin": Case(OK + b"\r\n{", Response(200, b"{"), "fin"),
    "close_delimited_ended_by_rst_with_whole_json": Case(
        OLD + b'{"node":{"phase":"Succeeded"}}', Response(200, b'{"node":{"phase":"Succeeded"}}'), "reset"
    ),
    "close_delimited_ended_by_rst_in_mid_json": Case(OLD + b'{"node":{"phase":"Succ', Broken, "reset"),
    "close_delimited_refusal_ended_by_rst": Case(
        b"HTTP/1.0 404 Not Found\r\n\r\n<html>", Response(404, b"<html>"), "reset"
    ),
    "close_delimited_and_empty_at_fin": Case(OLD, Response(200, b""), "fin"),
    "short_body": Case(OK + b"Content-Length: 3\r\n\r\n{}", Broken, "fin"),
    "short_body_and_rst": Case(OK + b"Content-Length: 3\r\n\r\n{}", Broken, "reset"),
    "no_body_at_all": Case(LENGTH, Broken, "fin"),
    "chunked": Case(CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", EMPTY, kept=True),
    "chunked_in_another_case": Case(OK + b"transfer-encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", EMPTY, kept=True),
    "chunked_with_extensions": Case(CHUNKED + b"2;a=b;c\r\n{}\r\n0;d=e\r\n\r\n", EMPTY, kept=True),
    "chunked_with_upper_case_sizes_and_zeros": Case(
        CHUNKED + b"00A\r\n          \r\n2\r\n{}\r\n000\r\n\r\n", Response(200, b" " * 10 + b"{}"), kept=True
    ),
    "chunked_with_trailers": Case(CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", EMPTY, kept=True),
    "chunked_with_a_nul_in_a_trailer": Case(CHUNKED + b"2\r\n{}\r\n0\r\nX: a\0b\r\nY: z\r\n\r\n", Malformed),
    "chunked_and_empty": Case(CHUNKED + b"0\r\n\r\n", Response(200, b""), kept=True),
    "chunked_and_connection_close": Case(
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", EMPTY
    ),
    "missing_last_chunk": Case(CHUNKED + b"2\r\n{}\r\n", Broken, "fin"),
    "missing_last_chunk_and_rst": Case(CHUNKED + b"2\r\n{}\r\n", Broken, "reset"),
    "missing_end_of_trailers": Case(CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n", Broken, "fin"),
    "chunk_cut_short": Case(CHUNKED + b"5\r\n{}", Broken, "fin"),
    "chunk_size_that_is_no_number": Case(CHUNKED + b"two\r\n{}\r\n0\r\n\r\n", Malformed),
    "negative_chunk_size": Case(CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", Malformed),
    "huge_chunk_size": Case(CHUNKED + b"fffffffffffffffff\r\n{}", Malformed),
    "chunk_longer_than_its_size": Case(CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", Malformed),
    "too_many_trailers": Case(CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", Malformed),
    "trailers_over_the_limit": Case(CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"y" * MAX_HEAD + b"\r\n\r\n", Malformed),
    "empty_body": Case(OK + b"Content-Length: 0\r\n\r\n", Response(200, b""), kept=True),
    "bytes_after_the_reply": Case(LENGTH + b"{}" + b"garbage", EMPTY),
    "a_reply_after_the_reply": Case(LENGTH + b"{}" + GOOD.replace(b"true", b"evil"), EMPTY),
    "an_empty_line_after_the_reply": Case(LENGTH + b"{}\r\n", EMPTY),
    "bytes_after_a_chunked_reply": Case(CHUNKED + b"2\r\n{}\r\n0\r\n\r\ngarbage", EMPTY),
    "a_reply_after_a_chunked_reply": Case(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + GOOD, EMPTY),
    "an_empty_line_after_a_chunked_reply": Case(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n\r\n", EMPTY),
    "bytes_after_no_content": Case(b"HTTP/1.1 204 No Content\r\n\r\n{}", Response(204, b"")),
    "content_encoding": Case(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", Malformed),
    "content_encoding_nobody_knows": Case(OK + b"Content-Encoding: x\r\nContent-Length: 2\r\n\r\n{}", Malformed),
    "two_content_encodings": Case(
        OK + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", Malformed
    ),
    "content_encoding_identity": Case(
        OK + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", EMPTY, kept=True
    ),
}

LIMIT = 1000
LIMITED = {
    "as_long_as_allowed": Case(
        OK + b"Content-Length: 1000\r\n\r\n" + b" " * 1000, Response(200, b" " * 1000), kept=True
    ),
    "content_length_over_the_limit": Case(OK + b"Content-Length: 1001\r\n\r\n" + b" " * 1001, Malformed),
    "close_delimited_over_the_limit": Case(OLD + b" " * 1001, Malformed),
    "chunked_as_long_as_allowed": Case(
        CHUNKED + b"3e8\r\n" + b" " * 1000 + b"\r\n0\r\n\r\n", Response(200, b" " * 1000), kept=True
    ),
    "chunked_over_the_limit": Case(CHUNKED + b"3e9\r\n" + b" " * 1001 + b"\r\n0\r\n\r\n", Malformed),
    "chunked_over_the_limit_by_many_chunks": Case(CHUNKED + b"1\r\n \r\n" * 1001 + b"0\r\n\r\n", Malformed),
}


@pytest.mark.parametrize("name", CASES)
async def test_body(name: str, play: Play) -> None:
    await play(CASES[name])


@pytest.mark.parametrize("name", LIMITED)
async def test_body_limit(name: str, play: Play) -> None:
    await play(LIMITED[name], max_body=LIMIT)


@pytest.mark.parametrize("head", [OLD, CHUNKED], ids=["close_delimited", "chunked"])
async def test_an_endless_body_is_malformed(head: bytes, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(head)
        while True:
            await line.send(b"3e8\r\n" + b" " * 1000 + b"\r\n")

    it = await peer(script)
    assert await outcome(post(lane(it.address, max_body=100_000), "/", b"{}")) is TooLarge
