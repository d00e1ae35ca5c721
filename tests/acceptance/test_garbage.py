"""What plugins were asked goes with the last answer: nobody keeps it, and none of it waits for the collector."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from msgspec.structs import replace

from engine import MemoryStore, PendingExecutor, Recorder
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, workflow

pytestmark = pytest.mark.usefixtures("settled")


def _says_so_of(name: str) -> Any:
    return lambda args: {"node": {"message": "seen"}} if args["node"]["name"] == name else {}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("batches", [False, True])
async def test_what_was_asked_is_in_no_cycle(
    plugin: StartPlugin, engine: StartEngine, tmp_path: Path, *, batches: bool, recorded: bool
) -> None:
    peers = [
        await plugin({"node.preExecute": {}, "node.postExecute": {}}),
        await plugin({"node.preExecute": _says_so_of("work[0].work(1:1)")}),
        await plugin({"node.preExecute": {}}),
    ]
    for peer in peers:
        peer.batches = batches
    recorder = Recorder(tmp_path / "calls.jsonl") if recorded else None
    subject = await engine(*peers, executor=PendingExecutor(), recorder=recorder)
    main = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "40"}}]]}
    work = workflow(main, container("work"))
    await subject.reconcile(work)
    left = await _left_by(subject.reconcile(work))
    ours = ("engine.plugins.", "engine.recording.", "rpc.")
    assert not {name: count for name, count in left.items() if name.startswith(ours)}


@pytest.mark.parametrize("batches", [False, True])
async def test_what_was_sent_is_kept_by_nobody(plugin: StartPlugin, engine: StartEngine, *, batches: bool) -> None:
    peer = await plugin({"workflow.preOperate": {}, "workflow.postOperate": {}, "node.preExecute": {}})
    peer.batches = batches
    subject = await engine((peer, {"payload": "full"}), executor=PendingExecutor())
    work = workflow(container("main"))
    work.document["metadata"]["annotations"] = {"large": "x" * 1_000_000}
    held = []
    tracemalloc.start()
    try:
        for number in range(12):
            work.document["metadata"]["annotations"]["number"] = str(number)
            assert (await subject.reconcile(work)).aborted is None
            peer.asked.clear()
            peer.bodies.clear()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[1] < 3_000_000, "ten passes, with three questions of a megabyte and more each"


@pytest.mark.parametrize("kept", [False, True])
async def test_a_client_goes_with_its_plugin(plugin: StartPlugin, engine: StartEngine, *, kept: bool) -> None:
    subject = await engine(await plugin({"node.preExecute": {}}), store=MemoryStore() if kept else None)
    await subject.run([workflow(container("main"))])
    registry = subject.registry
    assert registry is not None
    client = ref(registry.snapshot()[0].client)
    (config,) = registry.config.plugins
    await registry.replace(replace(registry.config, plugins=(replace(config, timeout=config.timeout + 1.0),)))
    async with asyncio.timeout(30):
        while client() is not None:  # it is being closed
            await asyncio.sleep(0.01)
            gc.collect()


async def _left_by(doing: Any) -> Counter[str]:
    """What only the garbage collector frees, by type."""
    gc.collect()
    gc.disable()
    try:
        await doing
        await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
