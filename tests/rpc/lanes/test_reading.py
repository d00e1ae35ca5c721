"""Reading a reply: the outcome depends on the bytes alone, however they are cut."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc.lanes import LaneError, Malformed, Response
from rpc.lanes.reading import Reader, read_at_once
from tests.fuzz.generate import generate

MAX_BODY = 200


def read(pieces: list[bytes], reset: bool) -> tuple[Response | type[LaneError], bool]:
    """The outcome, and whether the connection may be used again if the peer is still there."""
    reader = Reader(MAX_BODY)
    try:
        for at, piece in enumerate(pieces):
            reply = reader.feed(piece)
            if reply is not None:
                return reply, reader.reusable and at == len(pieces) - 1
        return reader.end(ConnectionResetError() if reset else None), False
    except LaneError as error:
        # A body that is too large and badly framed is one or the other, by what comes first.
        return Malformed if isinstance(error, Malformed) else type(error), False


replies = st.integers(0, 1 << 32).map(lambda seed: generate(Random(seed)).raw)


@given(raw=replies, cuts=st.sets(st.integers(1, 400), max_size=6), reset=st.booleans())
@settings(max_examples=150, deadline=None)
def test_cuts_make_no_difference(raw: bytes, cuts: set[int], reset: bool) -> None:
    marks = sorted(cut for cut in cuts if cut < len(raw))
    pieces = [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]
    whole = read([raw] if raw else [], reset)
    assert read([piece for piece in pieces if piece], reset) == whole
    assert read([bytes([byte]) for byte in raw], reset) == whole


@given(raw=replies)
@settings(max_examples=150, deadline=None)
def test_the_short_cut_says_what_the_long_way_says(raw: bytes) -> None:
    reply = read_at_once(raw, MAX_BODY)
    if reply is not None:
        assert read([raw], False) == (reply, True)


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_noise_is_never_taken_for_a_reply(noise: bytes) -> None:
    outcome, _ = read([noise] if noise else [], False)
    assert isinstance(outcome, type)


def test_a_reader_says_where_a_reply_broke_off() -> None:
    def why(raw: bytes) -> str:
        reader = Reader(MAX_BODY)
        try:
            if raw:
                reader.feed(raw)
            reader.end(None)
        except LaneError as error:
            return str(error)
        return ""

    assert why(b"") == "the connection was closed before the reply"
    assert why(b"HTTP/1.1 200 OK\r\n") == "the connection was closed in the middle of the reply's head"
    assert why(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}").endswith("in the middle of the reply's body")


def test_an_error_says_what_was_wrong() -> None:
    with pytest.raises(Malformed, match=r"^the reply has Content-Encoding 'gzip', and none was asked for$"):
        Reader(MAX_BODY).feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
