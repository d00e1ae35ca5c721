"""The contract as a document, and a plugin that is built on the types from which it was made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from rpc.arguments import ARGUMENTS, Arguments
from rpc.examples import example_of
from rpc.methods import Method
from rpc.plugin import Plugin
from tests.processes import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "docs/openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.load(OPENAPI.read_text(), yaml.CSafeLoader)
PATHS: dict[str, Any] = DOCUMENT["paths"]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a part is, or what it refers to."""
    while "$ref" in part:
        _, *keys = part["$ref"].split("/")
        part = DOCUMENT
        for key in keys:
            part = part[key]
    return part


def json_of(part: dict[str, Any]) -> Any:
    """What a request or a response holds as JSON: its schema and its examples."""
    return resolved(part)["content"]["application/json"]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def all_methods() -> Plugin:
    """A plugin that takes all methods, typed, and answers each with the documented reply."""
    plugin = Plugin("all")

    def register(method: Method) -> None:
        async def answer(args: Arguments) -> dict[str, Any]:
            return example_of(method).replies[0]

        answer.__annotations__["args"] = ARGUMENTS[method]
        plugin.on(method)(answer)

    for method in Method:
        register(method)
    return plugin


@pytest.fixture(scope="session")
def sdk() -> Iterator[str]:
    """The address of such a plugin, in a thread of its own."""
    ready, stop, addresses = threading.Event(), asyncio.Event(), list[str]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with all_methods().serve() as address:
            addresses.append(address)
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE)
    yield addresses[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
