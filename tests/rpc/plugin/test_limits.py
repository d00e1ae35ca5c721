"""What strangers may take of a plugin's process, token or not: memory, connections, time."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count as counting
from typing import Any

import orjson
import pytest

from rpc.plugin import Plugin, batches, connection, listening
from tests.rpc.plugin.peers import Peer, echo, request, talk

MIB = 1 << 20
PATH = "/workflow.preOperate"
LATER = "/workflow.postOperate"


def head(size: int, *headers: str, path: str = PATH) -> bytes:
    return request(path, b"", *headers).replace(b"Content-Length: 0", b"Content-Length: %d" % size)


@asynccontextmanager
async def peers(address: str, count: int) -> AsyncIterator[list[Peer]]:
    made = [await Peer.of(address) for _ in range(count)]
    try:
        yield made
    finally:
        for peer in made:
            await peer.close()


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """The most bytes that were allocated since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


async def test_bodies_under_way_are_bounded_in_all(traced: Callable[[], int]) -> None:
    async with echo(max_body=MIB).serve() as address, peers(address, 20) as crowd:
        for peer in crowd:
            with suppress(ConnectionError):
                await peer.send(head(MIB), b"x" * (MIB - 1))
        answers = {asyncio.create_task(peer.answer()) for peer in crowd}
        refused = set[asyncio.Task[Any]]()
        while len(refused) < 16:
            done, answers = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        refused |= (await asyncio.wait(answers, timeout=0.05))[0]
        for each in answers - refused:
            each.cancel()
        for status, headers, _ in await asyncio.gather(*refused):
            assert (status, headers["retry-after"]) == (503, "1")
        assert len(refused) < 20
        assert traced() < 10 * MIB
        for peer in crowd:
            await peer.close()
        # There is room again.
        assert (await talk(address, request(PATH, b"{}", "Connection: close"))).startswith(b"HTTP/1.1 200 ")


async def test_bodies_of_functions_that_run_count_until_they_are_answered() -> None:
    plugin, go_on, running = Plugin("p", max_body=1000), asyncio.Event(), asyncio.Barrier(6)

    @plugin.on("node.preExecute")
    async def wait(args: dict[str, Any]) -> None:
        await running.wait()
        await go_on.wait()

    plugin.on("workflow.preOperate")(lambda args: None)
    large = request("/node.preExecute", orjson.dumps({"a": "x" * 900}))
    async with plugin.serve() as address, peers(address, 6) as crowd:
        *crowd, late = crowd
        for peer in crowd:
            await peer.send(large)
        await running.wait()
        await late.send(head(1000), b"x")
        assert (await late.answer())[0] == 503
        go_on.set()
        for peer in crowd:
            assert (await peer.answer())[0] == 200
        await crowd[0].send(head(2), b"{", b"}")
        assert (await crowd[0].answer())[0] == 200


async def test_bodies_of_functions_that_run_count_though_their_peers_are_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin, go_on, running = Plugin("p", max_body=1000), asyncio.Event(), asyncio.Semaphore(0)

    @plugin.on("node.preExecute")
    async def wait(args: dict[str, Any]) -> None:
        running.release()
        await go_on.wait()

    plugin.on("workflow.preOperate")(lambda args: None)
    large = request("/node.preExecute", orjson.dumps({"a": "x" * 900}))
    async with plugin.serve() as address:
        for _ in range(5):
            async with peers(address, 1) as (peer,):
                await peer.send(large)
                await running.acquire()
                peer.reset()
        async with peers(address, 1) as (peer,):
            await peer.send(head(1000), b"x")
            assert (await peer.answer())[0] == 503
            go_on.set()
        async with peers(address, 1) as (peer,):
            await peer.send(large)
            assert (await peer.answer())[0] == 200
    assert not caplog.records


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 403)])
async def test_a_token_is_asked_for_before_any_of_the_body_is_read(token: str | None, status: int) -> None:
    headers = () if token is None else (f"Authorization: Bearer {token}",)
    async with echo(token="secret").serve() as address, peers(address, 3) as (plain, expecting, offering):
        await plain.send(head(MIB, *headers))
        await expecting.send(head(MIB, "Expect: 100-continue", *headers))
        await offering.send(head(MIB, "Connection: Upgrade", "Upgrade: h2c", *headers))
        for peer in (plain, expecting, offering):
            assert (await peer.answer())[0] == status
            assert await peer.rest() == b""


async def test_a_token_in_a_trailer_is_none() -> None:
    sent = (
        b"POST /workflow.preOperate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\nAuthorization: Bearer secret\r\n\r\n"
    )
    async with echo(token="secret").serve() as address:
        assert (await talk(address, sent)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/", "/node.preExecute"])
async def test_a_body_that_nobody_wants_is_not_kept(path: str, traced: Callable[[], int]) -> None:
    async with echo(max_body=8 * MIB).serve() as address, peers(address, 1) as (peer,):
        await peer.send(head(8 * MIB, path=path), *[b"x" * 65536] * 128)
        assert (await peer.answer())[0] == 404
        assert traced() < 4 * MIB


async def test_a_body_over_the_limit_is_refused_by_its_head() -> None:
    async with echo(max_body=1000).serve() as address, peers(address, 2) as (plain, expecting):
        await plain.send(head(1001))
        await expecting.send(head(1001, "Expect: 100-continue"))
        assert (await plain.answer())[0] == 413
        assert (await expecting.answer())[0] == 413


CHUNKED = b"POST /workflow.preOperate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_body_in_small_chunks_takes_no_more_than_its_size(traced: Callable[[], int]) -> None:
    async with echo(max_body=MIB).serve() as address, peers(address, 1) as (peer,):
        await peer.send(CHUNKED)
        for _ in range(65):
            await peer.send(b"8\r\nxxxxxxxx\r\n" * 2048)
        assert (await peer.answer())[0] == 413  # so that nothing is decoded, which takes more
        assert traced() < 4 * MIB


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        pytest.param(b"POST / HTTP/1.1\r\n", b"X: y\r\n", id="header lines"),
        pytest.param(b"POST / HTTP/1.1\r\nX: ", b"yyyyyyyy", id="one header"),
        pytest.param(b"POST /", b"yyyyyyyy", id="target"),
        pytest.param(CHUNKED + b"2;x=", b"yyyyyyyy", id="chunk extension"),
        pytest.param(CHUNKED, b"1;x=" + b"y" * 1000 + b"\r\nx\r\n", id="extension of each chunk"),
        pytest.param(CHUNKED, b"1\r\n{\r\n", id="chunks of one byte"),
        pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n", id="trailers"),
        pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\nX: ", b"yyyyyyyy", id="one trailer"),
        pytest.param(CHUNKED + b"0" * 8, b"0" * 8, id="digits of a size"),
    ],
)
async def test_what_is_beside_a_body_is_bounded(plugin: Plugin, begin: bytes, endless: bytes) -> None:
    more = endless * (65536 // len(endless))
    async with plugin.serve() as address, peers(address, 1) as (peer,):
        assert await flooded(peer, begin, more) in (b"HTTP/1.1 431", b"HTTP/1.1 400")


async def test_a_large_body_allows_no_more_to_come_behind_it() -> None:
    begin = CHUNKED + b"%x\r\n" % (4 * MIB) + b"x" * (4 * MIB) + b"\r\n0\r\n"
    async with echo(max_body=8 * MIB).serve() as address, peers(address, 1) as (peer,):
        assert await flooded(peer, begin, b"X: y\r\n" * 10_000) == b"HTTP/1.1 431"


async def flooded(peer: Peer, begin: bytes, more: bytes) -> bytes:
    """What a peer is answered that goes on and on, up to 64 MiB."""
    answer = asyncio.ensure_future(peer.rest())
    with suppress(ConnectionError):
        await peer.send(begin)
        for _ in range(1024):
            if answer.done():
                break
            await peer.send(more)
    (said,) = await asyncio.gather(answer, return_exceptions=True)
    return said[:12] if isinstance(said, bytes) else repr(said).encode()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is two seconds later, a hundred times a second: however long the machine is held up
    between two looks."""
    look, now = connection.Connection.look_at_clock, counting(step=2.0)
    monkeypatch.setattr(listening, "_ROUND", 0.01)
    monkeypatch.setattr(connection.Connection, "look_at_clock", lambda self, _: look(self, next(now)))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("begun", "said"),
    [
        (b"", b""),
        (b"P", b"HTTP/1.1 408 "),
        (request(PATH)[:30], b"HTTP/1.1 408 "),
        (head(10), b"HTTP/1.1 408 "),
        (head(10) + b"{", b"HTTP/1.1 408 "),
        (CHUNKED + b"1\r\n{\r\n", b"HTTP/1.1 408 "),
        (CHUNKED + b"1\r\n{\r\n0\r\nX: ", b"HTTP/1.1 408 "),
    ],
)
async def test_nobody_is_waited_for_without_an_end(plugin: Plugin, begun: bytes, said: bytes) -> None:
    async with plugin.serve() as address, peers(address, 1) as (peer,):
        await peer.send(begun)
        assert (await peer.rest()).startswith(said)


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_trickles_is_not_waited_for_longer(plugin: Plugin) -> None:
    async with plugin.serve() as address, peers(address, 1) as (peer,):
        answer = asyncio.ensure_future(peer.rest())
        for letter in b"POST /" + b"x" * 100_000:
            if answer.done():
                break
            await peer.send(bytes([letter]))
            await asyncio.wait([answer], timeout=0.001)
        assert (await answer).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("hurried")
async def test_an_idle_connection_is_closed_in_the_end(plugin: Plugin) -> None:
    async with plugin.serve() as address, peers(address, 1) as (peer,):
        for path in (PATH, LATER):
            await peer.send(request(path))
            assert (await peer.answer())[0] == 200
        assert await peer.rest() == b""


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("headers", [(), ("Connection: close",)])
async def test_a_peer_that_does_not_read_is_cut_off(headers: tuple[str, ...]) -> None:
    plugin = Plugin("p")
    plugin.on("workflow.preOperate")(lambda args: {"workflow": {"x": "y" * 8 * MIB}})
    async with plugin.serve() as address:
        _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), limit=1024)
        writer.write(request(PATH, b"{}", *headers))
        with suppress(ConnectionError):  # the stream reads no further than its limit, but notices when it is cut off
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.mark.usefixtures("hurried")
async def test_a_function_is_waited_for_as_long_as_it_takes() -> None:
    plugin = Plugin("p")

    @plugin.on("workflow.preOperate")
    async def slow(args: dict[str, Any]) -> None:
        await asyncio.sleep(1.0)  # a hundred looks at the clock, and more than any patience

    async with plugin.serve() as address, peers(address, 1) as (peer,):
        await peer.send(request(PATH))
        assert (await peer.answer())[0] == 200


async def test_there_are_at_most_so_many_connections() -> None:
    async with echo(max_connections=3).serve() as address, peers(address, 3) as crowd:
        for peer in crowd:
            await peer.send(request(PATH))
            assert (await peer.answer())[0] == 200
        async with peers(address, 2) as (one, other):
            for peer in (one, other):
                status, headers, _ = await peer.answer()
                assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
                assert await peer.rest() == b""
        await crowd[0].send(request(PATH))
        assert (await crowd[0].answer())[0] == 200
        await crowd[1].close()
        await crowd[2].send(request(PATH, b"{}", "Connection: close"))
        assert (await crowd[2].answer())[0] == 200
        assert await crowd[2].rest() == b""
        async with peers(address, 1) as (peer,):
            await peer.send(request(PATH))
            assert (await peer.answer())[0] == 200


def batch(count: int, padding: int = 0) -> bytes:
    calls = [{"template": "t", "node": {"name": str(number)}} for number in range(count)]
    return orjson.dumps({"workflow": {}, "templates": {"t": {}}, "calls": calls, "x": "y" * padding})


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_one_huge_batch_does_not_starve_others(asynchronous: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_SLICE", 0.0)
    plugin, done, begun = Plugin("p"), 0, asyncio.Event()

    def work(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal done
        done += 1
        begun.set()
        return {"node": {"message": args["node"]["name"]}}

    async def work_later(args: dict[str, Any]) -> dict[str, Any]:
        return work(args)

    async def at_once(args: dict[str, Any]) -> None:
        pass

    plugin.on("node.preExecute")(work_later if asynchronous else work)
    plugin.on("workflow.preOperate")(at_once)
    async with plugin.serve() as address, peers(address, 2) as (greedy, other):
        await other.send(request(PATH))
        assert (await other.answer())[0] == 200
        await greedy.send(request("/node.preExecute.batch", batch(4096)))
        await begun.wait()
        await other.send(request(PATH))
        assert (await other.answer())[0] == 200
        assert done < 4096
        replies = orjson.loads((await greedy.answer())[2])["replies"]
    assert [reply["node"]["message"] for reply in replies] == [str(number) for number in range(4096)]


async def test_a_batch_that_is_too_large_is_sent_back_to_come_in_halves() -> None:
    plugin = Plugin("p")
    plugin.on("node.preExecute")(lambda args: None)
    async with plugin.serve() as address, peers(address, 2) as (many, large):
        await many.send(request("/node.preExecute.batch", batch(4097)))
        status, _, body = await many.answer()
        assert (status, orjson.loads(body)) == (
            413,
            {"message": "expected at most 4096 calls, got 4097 - at `$.calls`"},
        )
        await large.send(head(8 * MIB + 1, path="/node.preExecute.batch"))
        assert (await large.answer())[0] == 413
        await many.send(request("/node.preExecute", b'{"x":"%b"}' % (b"y" * 8 * MIB)))
        assert (await many.answer())[0] == 200
