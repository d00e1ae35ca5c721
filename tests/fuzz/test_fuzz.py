"""A taste of ``python -m tests.fuzz`` for every test run, and what longer runs have found."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from tests.fuzz.checking import Checker, Disagreement, minimize
from tests.fuzz.feeding import WireFeed
from tests.fuzz.generate import Input, generate
from tests.fuzz.targets import TARGETS, Check
from tests.fuzz.verdicts import Wrong

pytestmark = pytest.mark.no_cover

INPUTS = 1500

FOUND = [
    # aiohttp: a reader woken by the end of a chunk slept on although the next bytes had broken the body.
    Input(b"HTTP/1.1 200 K\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n01\r\n}\r\n\n", (27, 60), "fin"),
    # aiohttp: a complete reply was lost when bad bytes followed in the same read and its head ended in bare LFs.
    Input(b"HTTP/1.1 304\n\nh", (), "fin"),
    Input(b"HTTP/1.1 200\nContent-Length:0\n\n\n", (), "reset"),
    # both: llhttp frames by a Content-Length with a blank before its colon, and reports the name with the blank.
    Input(b"HTTP/1.1 200\nContent-Length :2\n\n{}", (), "reset"),
    # wire: llhttp takes a blank first header line for the end of the head.
    Input(b"HTTP/1.1 205\n \n", (), "fin"),
    # both: interim replies with a body, with Connection: close, or with a status below 100.
    Input(b"HTTP/1.1 199\nContent-Length:6\n\nh", (), "reset"),
    Input(b"HTTP/1.1 100\n\nHTTP/1.1 100\nConnection:close\n\nH", (), "reset"),
    Input(b"HTTP/1.1 099\n\n{", (), "fin"),
    # both: faults of a head that is cut off after them, and of one that has no body.
    Input(b"HTTP/1.0 200\n" + b"X:\n" * 102, (), "reset"),
    Input(b"HTTP/1.1 199\ng:\0\nL", (), "fin"),
    Input(b"HTTP/1.1 304\nContent-Length:615\n\n", (), "fin"),
    # aiohttp: blanks that are blanks in Python only.
    Input(b"HTTP/1.1 200\nTransfer-Encoding:chunked\x0c\n\n2\n{}\n0\n\n", (), "fin"),
    # aiohttp: a chunked body was taken for whole where it ended in the middle of such a trailer.
    Input(b"HTTP/1.1 200\nTransfer-Encoding:chunked\n\n2\r\n{}\r\n0\r\nTransfer-Encoding:u", (), "fin"),
    Input(b"HTTP/1.1 200\nTransfer-Encoding:chunked\t\n\n", (), "fin"),
    # aiohttp: bytes after a last chunk with bare LFs, of which llhttp wants three.
    Input(b"HTTP/1.1 404\nTransfer-Encoding:chunked\n\n1\r\n\r\n0\n\n\n\r", (), "reset"),
    # wire: header lines and trailers together, as aiohttp counts them.
    Input(b"HTTP/1.1 200\n" + b"X:\n" * 99 + b"Transfer-Encoding:chunked\n\n2\r\n{}\r\n0\r\nX:\r\nr", (), "fin"),
    Input(b"HTTP/1.1 200\n" + b"X:\n" * 98 + b"Transfer-Encoding:chunked\n\n0\r\nX:\r\nY:\r\n\r\n", (), "fin"),
    # wire: a NUL in a trailer, which aiohttp sees where another line follows.
    Input(b"HTTP/1.0 200\nTransfer-Encoding:chunked\n\n2\r\n}\r\n0\r\nn:\x00\ne", (), "reset"),
    Input(b"HTTP/1.1 200\nTransfer-Encoding:chunked\n\n2\r\n{}\r\n0\r\nn:\x00\r\n\r\n", (), "fin"),
    # both: the start of a version that may still become 1.1, or will not.
    Input(b"HTTP/2", (), "reset"),
]


async def test_lanes_agree_on_generated_replies() -> None:
    dice = Random(20)
    checker = Checker()
    try:
        for _ in range(INPUTS):
            await checker.check(generate(dice))
    finally:
        await checker.aclose()


@pytest.mark.parametrize("case", FOUND, ids=lambda case: repr(case.raw))
async def test_lanes_agree_on_what_was_found(case: Input) -> None:
    checker = Checker()
    try:
        await checker.check(case)
    finally:
        await checker.aclose()


async def test_a_disagreement_is_reported_as_small_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lane that takes two equal lengths for one, as a fault to be found."""
    play = WireFeed.play

    async def faulty(self: WireFeed, pieces: list[bytes], ending: str) -> object:
        raw = b"".join(pieces).replace(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"Content-Length: 2\r\n")
        return await play(self, [raw], "reset" if ending == "reset" else "fin")

    monkeypatch.setattr(WireFeed, "play", faulty)
    raw = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\nContent-Length: 2\r\nDate: today\r\n\r\n{}"
    checker = Checker()
    try:
        with pytest.raises(Disagreement) as found:
            await checker.check(Input(raw, (20, 40), "fin"))
    finally:
        await checker.aclose()
    smallest = await minimize(found.value)
    assert smallest.case.cuts == ()
    assert b"Server" not in smallest.case.raw
    assert smallest.case.raw.count(b"Content-Length: 2\r\n") == 2


async def check_all(check: Check, cases: Iterable[Any]) -> None:
    for case in cases:
        await check(case)


@pytest.mark.parametrize("name", ["replies", "manifests", "configurations"])
async def test_what_comes_from_outside_is_taken_or_refused_with_a_reason(name: str) -> None:
    target, dice = TARGETS[name], Random(18)
    async with target.checking() as check:
        await check_all(check, (target.generate(dice) for _ in range(100)))


@pytest.mark.parametrize("name", ["replies", "manifests"])
async def test_a_mistake_of_the_engine_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(document: dict[str, object], *rest: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr("engine.reconciling.pass_.with_progress", forget)
    target, dice = TARGETS[name], Random(18)
    async with target.checking() as check:
        with pytest.raises(Wrong, match="internal error: KeyError"):
            await check_all(check, (target.generate(dice) for _ in range(100)))
