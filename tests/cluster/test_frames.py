"""Frames, however the socket cuts them up."""

from __future__ import annotations

import asyncio
import struct

from hypothesis import given
from hypothesis import strategies as st

from engine.cluster.frames import Frames


class Aborted(asyncio.Transport):
    """A transport of which only that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def feed(frames: Frames, piece: bytes) -> None:
    """As an event loop does, which receives no more than there is room for."""
    while piece:
        room = frames.get_buffer(-1)
        size = min(len(room), len(piece))
        room[:size] = piece[:size]
        frames.buffer_updated(size)
        piece = piece[size:]


def encoded(kind: int, body: bytes) -> bytes:
    return struct.pack(">BI", kind, len(body)) + body


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40))), st.lists(st.integers(1, 60)))
def test_frames_are_what_was_sent_whatever_comes_at_once(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    async def read() -> list[tuple[int, bytes] | None]:
        frames = Frames()
        data = b"".join(encoded(*each) for each in sent)
        for cut in cuts:
            feed(frames, data[:cut])
            data = data[cut:]
        feed(frames, data)
        frames.connection_lost(None)
        return [await frames.read() for _ in range(len(sent) + 1)]

    assert asyncio.run(read()) == [*sent, None]


async def test_one_that_is_too_large_is_not_read() -> None:
    frames, transport = Frames(limit=4), Aborted()
    frames.connection_made(transport)
    feed(frames, encoded(0, b"1234"))
    assert await frames.read() == (0, b"1234")
    assert not transport.aborted
    feed(frames, encoded(0, b"12345")[:5])
    assert transport.aborted
