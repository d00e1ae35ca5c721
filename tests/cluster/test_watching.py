"""Observers, recorders and logs see what shards do as if it were done here, and credentials do not travel."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine import Fleet, PassEnd, PassTold, Recorder, Told
from engine.cluster.configuring import packed, unpacked
from engine.recording.format import Called
from engine.recording.reading import Record
from registry import load_config
from rpc import Request
from tests.acceptance.peer import Peer
from tests.acceptance.test_observer import Seen
from tests.cluster.doubles import Leaves, fan, until
from tests.cluster.inside import Inside


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer({"node.preExecute": {"node": {"message": "seen"}}}, None, "s3cret-token")
    await peer.start()
    yield peer
    await peer.stop()


def config(folder: Path, address: str, more: str = "") -> Path:
    (folder / "token").write_text("s3cret-token")
    file = folder / "plugins.toml"
    file.write_text(
        "[engine]\nenabled = true\n[[plugins]]\n"
        f'name = "p"\naddress = "{address}"\ntoken_file = "token"\nconcurrency = 8\n{more}'
    )
    return file


async def test_what_shards_do_is_observed_and_recorded_in_one_file(tmp_path: Path, peer: Peer) -> None:
    told: list[Told | PassTold] = []
    seen, recorder = Seen(), Recorder(tmp_path / "calls.jsonl")
    recorder.listeners.append(told.append)
    recorder.hide("seen")
    async with Fleet.from_config(
        config(tmp_path, peer.address), over=Inside(), executor=Leaves(), observer=seen, recorder=recorder
    ) as fleet:
        await fleet.run(fan(f"w-{number}") for number in range(6))
    assert {key for key, _, _ in seen.passes} == {f"default/w-{number}" for number in range(6)}
    assert {phase for _, phase, _ in seen.passes} == {"Running", "Succeeded"}
    assert seen.requests
    assert {request.plugin for request in seen.requests} == {"p"}
    assert [each for each in told if isinstance(each, PassTold)]
    assert any(each.changed == {"message": ("", "seen")} for each in told if isinstance(each, Told))
    text = (tmp_path / "calls.jsonl").read_text()
    assert "s3cret-token" not in text
    assert '"seen"' not in text
    with Record(tmp_path / "calls.jsonl", print) as record:
        calls = [(pass_.workflow, line) for pass_, line in record.told(lambda _: True) if isinstance(line, Called)]
    assert {name for name, _ in calls} == {f"default/w-{number}" for number in range(6)}


async def test_a_plugin_of_a_shard_has_its_share_of_what_may_be_under_way(tmp_path: Path, peer: Peer) -> None:
    inside = Inside()
    async with Fleet.from_config(config(tmp_path, peer.address), over=inside, shards=2) as fleet:
        for link in inside.links:
            assert [each.client.stats.limit for each in link.snapshot()] == [4]
        assert fleet.registry is not None
        (own,) = fleet.registry.snapshot()
        assert own.client.stats.limit == 8


def test_credentials_do_not_travel_but_are_read_again(tmp_path: Path) -> None:
    before = load_config(config(tmp_path, "http://localhost:1"))
    travelling = packed(before)
    assert b"s3cret-token" not in travelling
    after = unpacked(travelling)
    assert after.plugins == before.plugins
    assert after.plugins[0].token is not None
    assert after.plugins[0].token.file == tmp_path / "token"
    (tmp_path / "token").unlink()
    with pytest.raises(ValueError, match="cannot read"):
        unpacked(travelling)


async def test_what_a_shard_logs_is_logged_here(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    file = config(tmp_path, "http://localhost:1", "retry = { attempts = 1 }\n")
    async with Fleet.from_config(file, shards=1, executor=Leaves()) as fleet:
        serving = asyncio.create_task(fleet.serve())
        fleet.submit(fan("one"))
        await until(lambda: "pass aborted" in caplog.text)
        serving.cancel()
    (record, *_) = [each for each in caplog.records if "pass aborted" in each.getMessage()]
    assert (record.name, record.levelno) == ("engine.reconciling.run", logging.WARNING)
    assert "workflow=default/one" in record.getMessage()
    assert "shard=0" in record.getMessage()


async def test_nodes_are_counted_in_any_thread_while_they_change() -> None:
    interval, ended, works = sys.getswitchinterval(), threading.Event(), [fan(f"w-{number}", 20) for number in range(6)]
    async with Fleet(over=Inside(), executor=Leaves()) as fleet:

        def count() -> None:
            while not ended.is_set():
                fleet.nodes_by_phase()

        counting = [asyncio.create_task(asyncio.to_thread(count)) for _ in range(2)]
        sys.setswitchinterval(1e-6)
        try:
            await fleet.run(works)
        finally:
            sys.setswitchinterval(interval)
            ended.set()
        await asyncio.gather(*counting)
    for work in works:
        assert [node.phase for node in work.nodes.values()] == ["Succeeded"] * 24


class _Broken:
    """An observer."""

    def requested(self, request: Request) -> None:
        raise RuntimeError("it broke")

    def pass_begun(self, workflow: str) -> None:
        raise RuntimeError("it broke")

    def pass_ended(self, ended: PassEnd) -> None:
        raise RuntimeError("it broke")


async def test_an_observer_that_fails_is_logged_and_nothing_else_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    work, inside = fan("one"), Inside()
    async with Fleet(over=inside, executor=Leaves(), observer=_Broken()) as fleet:
        await fleet.run([work])
        assert len(inside.links) == 2
    assert work.phase == "Succeeded"
    assert "an observer failed" in caplog.text
