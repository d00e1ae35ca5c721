"""No secret gets into a record, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import PendingExecutor, Recorder
from rpc import Secret, Token
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, workflow
from tests.acceptance.recorded import Read, saying


@pytest.mark.parametrize("batches", [False, True])
async def test_no_secret_is_written(plugin: StartPlugin, engine: StartEngine, record: Path, *, batches: bool) -> None:
    token, password, key, header = "the-plugins-own-token", "hunter2-hunter2", "AKIA-0815", "c2VjcmV0OnNlY3JldA"
    own = "the-header-of-the-plugin"
    peer = await plugin(
        {
            "workflow.preOperate": {"workflow": {"metadata": {"annotations": {"seen": f"with {token} and {own}"}}}},
            "node.preExecute": {
                "node": {"message": f"Bearer {header}", "outputs": {"parameters": [{"name": "api_key", "value": key}]}}
            },
        },
        token=token,
    )
    peer.batches = batches
    recorder = Recorder(record)
    recorder.hide("unmentionable")
    credentials = {"token": Token(token), "headers": {"X-Team": Secret(own)}}
    subject = await engine((peer, credentials), executor=PendingExecutor(), recorder=recorder)
    environment = [{"name": "DB_PASSWORD", "value": password}, {"name": "COLOUR", "value": "unmentionable"}]
    main = {
        "name": "main",
        "inputs": {"parameters": [{"name": "accessKey", "value": key}]},
        "container": {
            "image": "i",
            "command": ["curl", "-H", f"Authorization: Basic {header}", f"https://me:{password}@host"],
            "env": environment,
        },
    }
    work = workflow(main)
    await subject.reconcile(work)
    await subject.reconcile(work)
    await subject.__aexit__(None, None, None)

    text = Read(record).text
    for secret in (token, own, password, key, header, "unmentionable"):
        assert secret not in text
    assert "DB_PASSWORD" in text
    assert any(body.get("hidden") for body in Read(record).bodies.values())


@pytest.mark.parametrize("batches", [False, True])
async def test_a_secret_in_the_name_of_a_node_is_not_written(
    plugin: StartPlugin, engine: StartEngine, record: Path, *, batches: bool
) -> None:
    peer = await plugin({"node.preExecute": saying(work_3_d={"node": {"message": "seen"}})})
    peer.batches = batches
    recorder = Recorder(record)
    recorder.hide("unmentionable")
    items = ["unmentionable", *(f"https://me:hunter2-{number}@host" for number in range(2)), "d", *map(str, range(30))]
    main = {"name": "main", "steps": [[{"name": "work", "template": "work", "withItems": items}]]}
    subject = await engine(peer, executor=PendingExecutor(), recorder=recorder)
    work = workflow(main, container("work"))
    await subject.reconcile(work)
    await subject.__aexit__(None, None, None)
    text = Read(record).text
    assert "work(3:d)" in text
    assert "work(0:***)" in text
    for secret in ("unmentionable", "hunter2"):
        assert secret not in text
