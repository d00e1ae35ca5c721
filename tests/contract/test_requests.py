"""Whatever the engine sends is by the contract, at a path of it, and a plugin with typed arguments can read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
import orjson
import pytest
import yaml
from aiohttp import web

from engine import Engine, Workflow
from registry import BatchSettings, Config, EngineSettings, PluginConfig, Registry
from rpc.arguments import ARGUMENTS
from rpc.methods import BATCHES, Method, Spelling, path
from tests.contract.conftest import PATHS, ROOT, json_of, validator

Payload = Literal["metadata", "full"]

VALIDATORS = {name: validator(json_of(each["post"]["requestBody"])["schema"]) for name, each in PATHS.items()}

ODD = """
metadata: {name: odd, labels: {number: 1, nothing: null}, annotations: null, creationTimestamp: null, more: [1]}
spec:
  entrypoint: main
  arguments: {parameters: [{name: a, value: 1.5}, {name: b, value: {a: [1]}}, {name: c, value: null}]}
  templates:
  - name: main
    inputs: null
    outputs: null
    metadata: {labels: null}
    steps:
    - - {name: one, template: leaf, withItems: [1, {a: b}, "\\u00e4"]}
    - - {name: two, inline: {suspend: {duration: 1}}}
      - {name: three, template: leaf, when: "1 == 2"}
  - name: leaf
    inputs: {parameters: [{name: x, default: 5, enum: [5, "6"]}], artifacts: [{name: f, raw: {data: text}}]}
    outputs: {parameters: [{name: y, valueFrom: {path: /tmp/y, default: z}}]}
    container: {image: alpine, args: null, resources: {limits: {memory: 1Gi}}}
    retryStrategy: {limit: 2}
    timeout: "0"
    parallelism: 3
    activeDeadlineSeconds: 10
    nodeSelector: {a: b}
    tolerations: [{key: a}]
    podSpecPatch: "{}"
"""
STOPPED = """
metadata: {name: stopped}
spec: {entrypoint: main, templates: [{name: main, plugin: {job: {image: alpine, retries: null}}}]}
"""


@asynccontextmanager
async def recorder(sent: list[tuple[str, Any]], *, batches: bool) -> AsyncIterator[str]:
    """A plugin's address that takes all down, and whose jobs are never done."""

    async def take(request: web.Request) -> web.Response:
        args = orjson.loads(await request.read())
        sent.append((request.path, args))
        if request.path.endswith(".batch"):
            if not batches:
                return web.Response(status=404)
            return web.json_response({"replies": [{} for _ in args["calls"]]})
        if request.path.endswith(Method.TEMPLATE_EXECUTE):
            return web.json_response({"node": {"phase": "Running"}, "requeue": "1h"})
        return web.json_response({})

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def requests(*manifests: str, protocol: Spelling, payload: Payload, batches: bool) -> list[tuple[str, Any]]:
    """Path and body of all that the engine sends while it runs these; what then still runs is terminated."""
    sent: list[tuple[str, Any]] = []
    async with recorder(sent, batches=batches) as address:
        plugin = PluginConfig(
            name="recorder",
            address=address,
            protocol=protocol,
            payload=payload,
            batch=BatchSettings(enabled=batches),
        )
        async with Engine(Registry(Config(engine=EngineSettings(enabled=True), plugins=(plugin,)))) as engine:
            for manifest in manifests:
                workflow = Workflow(yaml.load(manifest, yaml.CSafeLoader))
                await engine.reconcile(workflow)
                if workflow.name == "stopped":
                    engine.terminate(workflow)
                await engine.run([workflow])
                assert workflow.finished
    return sent


@pytest.mark.parametrize("payload", ["metadata", "full"])
@pytest.mark.parametrize("batches", [False, True])
async def test_what_the_engine_sends_is_by_the_contract(payload: Payload, batches: bool) -> None:
    files = [ROOT / "examples" / f"{name}.yaml" for name in ("hello", "diamond")]
    manifests = [ODD, STOPPED, *(file.read_text() for file in files)]
    sent = await requests(*manifests, protocol="v1", payload=payload, batches=batches)
    for place, body in sent:
        errors = [f"{error.message} at {error.instance_path}" for error in VALIDATORS[place].iter_errors(body)]
        assert not errors, (place, body)
    asked = Counter(place for place, _ in sent)
    singly = set(Method) - (BATCHES.keys() if batches else set())
    assert asked.keys() >= {path(method, "v1") for method in singly}
    assert asked.keys() >= ({path(batch, "v1") for batch in BATCHES.values()} if batches else set())


async def test_typed_arguments_can_be_read_of_all_that_the_engine_sends() -> None:
    sent = await requests(ODD, STOPPED, protocol="short", payload="full", batches=False)
    for place, body in sent:
        args = msgspec.convert(body, ARGUMENTS[Method(place[1:])])
        assert set(args.__struct_fields__) == body.keys()
