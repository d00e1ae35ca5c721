"""What `oarlock call` does: ask, show, and say what would come of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from copy import deepcopy

import click
import orjson

from engine.cli.target import connect_once
from engine.verifying.effects import Arguments, effect_of
from engine.verifying.setting import put, read_value
from engine.verifying.verdicts import verdict_on
from registry import PluginConfig
from registry.cli import BadInput
from registry.connecting import connect
from registry.terminal import ESCAPES, printable
from rpc import Method, PluginError, Request
from rpc.credentials import without
from rpc.examples import example_of
from rpc.methods import path
from rpc.replies import EMPTY, decode

_LONGEST = 10_000
"""Characters that are shown of a reply."""
_LINES = {code: escape for code, escape in ESCAPES.items() if code != ord("\n")}


class _Seen:
    """The last request of a client, which is told of each."""

    def __init__(self) -> None:
        self.request: Request | None = None

    def requested(self, request: Request) -> None:
        self.request = request


def call_once(name: str, plugin: PluginConfig, changes: Sequence[tuple[str, str]]) -> bool:
    """Call a method, and show everything; whether the reply is good. Raises `BadInput`."""
    method = _method(name)
    arguments = _arguments(method, changes)
    return asyncio.run(_call(method, plugin, arguments))


def _method(name: str) -> Method:
    try:
        return Method(name)
    except ValueError:
        raise BadInput(f"METHOD: {name!r} is no method of the protocol, {Method.hint(name)}") from None


def _arguments(method: Method, changes: Sequence[tuple[str, str]]) -> Arguments:
    arguments = deepcopy(example_of(method).arguments)
    try:
        for where, text in changes:
            put(arguments, where, read_value(text))
        effect_of("", method, arguments, EMPTY)
        orjson.dumps(arguments)
    except ValueError as error:
        raise BadInput(f"--set {error}") from None
    except TypeError as error:  # bytes that are no text, or more levels than can be sent
        raise BadInput(f"--set: the arguments cannot be sent as JSON: {error}") from None
    return arguments


async def _call(method: Method, plugin: PluginConfig, arguments: Arguments) -> bool:
    seen = _Seen()
    failure: PluginError | None = None
    has_it = False
    await connect_once("--plugin", plugin)
    async with connect(plugin, observer=seen) as client:
        try:
            has_it = await client.call(method, arguments) is not None
        except PluginError as error:
            failure = error
        where = f"{client.address}{path(method, client.spelling(method) or 'short')}"
    request = seen.request
    assert request is not None, "it was sent, or could not be"
    reply = without(request.reply, plugin.credentials.secrets)
    if has_it:
        verdict = verdict_on(plugin.name, method, arguments, *decode(method, reply))
    else:
        verdict = verdict_on(plugin.name, method, arguments, failure)
    click.echo(f"POST {printable(where)}")
    click.echo(_pretty(json.dumps(arguments).encode()))
    status = failure.status if failure is not None else 200 if has_it else 404
    click.echo(f"\n{status or 'no reply'}, {request.travelled * 1000:.1f} ms")
    click.echo(_pretty(reply) if has_it else _plain(reply.decode("utf-8", "backslashreplace")))
    for line in ("", *verdict.lines):
        click.echo(printable(line))
    return not verdict.faulty


def _pretty(body: bytes) -> str:
    """JSON in lines; nothing for no bytes at all, which is a reply, too."""
    return _plain(json.dumps(json.loads(body), indent=2, ensure_ascii=False)) if body else ""


def _plain(text: str) -> str:
    """As it is, but for what would steer a terminal, and not more of it than one reads."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}\n... {len(text)} characters in all"
    return text.translate(_LINES)
