"""Rows "JSON" of the faults: replies that arrive whole and say what they may not, through the client on each lane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rpc import BatchPolicy, Client, FatalError, Method
from rpc.replies import EMPTY, NodeReply, NodeResult
from rpc.stats import Outcome
from tests.asking import ask as ask_alone
from tests.rpc.conformance.peers import Line, MakePeer, cuts

NODE = Method.NODE_PRE_EXECUTE

ILLEGAL = {
    "bom": b"\xef\xbb\xbf{}",
    "nan": b'{"node": {"outputs": {"x": NaN}}}',
    "infinity": b'{"node": {"outputs": {"x": Infinity}}}',
    "a_number_too_large": b'{"node": {"outputs": {"x": 1e999}}}',
    "duplicate_keys": b'{"node": {"message": "a", "message": "b"}}',
    "deeper_than_200": b'{"node": {"outputs": ' + b'{"a":' * 199 + b"1" + b"}" * 199 + b"}}",
    "text_after_the_value": b"{} {}",
    "cut_off": b'{"node": {}',
    "null": b"null",
    "an_array": b"[]",
    "html_with_status_200": b"<html>Welcome</html>",
    "unknown_phase": b'{"node": {"phase": "Done"}}',
    "a_field_of_the_wrong_type": b'{"node": {"message": 5}}',
    "not_utf_8": b'{"node": {"message": "\xff"}}',
}

LEGAL = {
    "an_empty_body": (b"", EMPTY, 0),
    "an_empty_object": (b"{ }", EMPTY, 0),
    "an_unknown_field": (b'{"node": {"message": "m", "new": 1}}', NodeReply(NodeResult(message="m")), 1),
}
SINGLE = BatchPolicy(enabled=False)


@pytest.fixture(params=["aiohttp", "wire"])
def lane_name(request: pytest.FixtureRequest) -> Any:
    return request.param


def framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def each_way(body: bytes, lane_name: Any, peer: MakePeer, ask: Callable[[Client], Awaitable[None]]) -> None:
    """Ask a peer that replies with `body`, in every cut, twice on one connection: fresh, then reused."""
    for how, pieces in cuts(framed(body)):

        async def script(line: Line, pieces: list[bytes] = pieces) -> None:
            while True:
                await line.request()
                await line.send(*pieces)

        it = await peer(script)
        async with Client(
            f"http://127.0.0.1:{it.address.port}", lane=lane_name, protocol="short", batch=SINGLE
        ) as client:
            for number in (1, 2):
                try:
                    await ask(client)
                except BaseException as error:
                    error.add_note(f"fed {how}, call {number}")
                    raise
            assert len(it.lines) == 1, "a reply that was read to its end leaves its connection as good as it was"


@pytest.mark.parametrize("name", ILLEGAL)
async def test_illegal_json_is_fatal(name: str, lane_name: Any, peer: MakePeer) -> None:
    async def ask(client: Client) -> None:
        before = client.stats.outcomes[Outcome.ILLEGAL]
        with pytest.raises(FatalError, match="illegal reply"):
            await ask_alone(client, NODE)
        assert client.stats.outcomes[Outcome.ILLEGAL] == before + 1

    await each_way(ILLEGAL[name], lane_name, peer, ask)


@pytest.mark.parametrize("name", LEGAL)
async def test_legal_json_is_delivered(name: str, lane_name: Any, peer: MakePeer) -> None:
    body, expected, unknown = LEGAL[name]

    async def ask(client: Client) -> None:
        before = client.stats.unknown_fields
        assert await ask_alone(client, NODE) == expected
        assert client.stats.unknown_fields == before + unknown

    await each_way(body, lane_name, peer, ask)
