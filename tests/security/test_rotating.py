"""Credentials that change while calls are made with them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from engine import Engine
from registry import ConfigError, Registry, load_config
from rpc import BatchPolicy, Client, FatalError, Method, Secret, Tls, Token
from rpc.batches import Call, CallBatch
from rpc.client import LaneName
from rpc.credentials import without
from rpc.replies import EMPTY
from rpc.window import Outcomes
from tests.acceptance.manifests import container, workflow
from tests.security.rotation import CHANGES, rotate
from tests.security.servers import SecureServer, server_context, write_certificate

NODE = Method.NODE_PRE_EXECUTE
Serve = Callable[..., SecureServer]


def replace(file: Path, text: str) -> None:
    """At once, as a mounted secret is."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.replace(new, file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    replace(tmp_path / "secret", "old")
    return tmp_path / "secret"


@pytest.mark.parametrize("lane", ["wire", "aiohttp"])
@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
async def test_a_call_that_is_refused_is_sent_again_with_what_is_in_the_file_now(
    serve: Serve, file: Path, lane: LaneName, header: str
) -> None:
    server = serve()
    bearer = header == "Authorization"
    token, headers = (Token.read(file), {}) if bearer else (None, {header: Secret.read(file)})
    async with Client(server.address, lane=lane, token=token, headers=headers) as client:
        server.expected = {header: "Bearer new" if bearer else "new"}
        replace(file, "new")
        assert await client.call("workflow.preOperate", {}) == {}
    assert [each[header].removeprefix("Bearer ") for each in server.requests] == ["old", "new"]


async def test_a_file_that_changes_within_a_second_is_waited_for(serve: Serve, file: Path) -> None:
    server = serve()
    server.expected = {"Authorization": "Bearer new"}
    async with Client(server.address, token=Token.read(file)) as client:
        call = asyncio.ensure_future(client.call("workflow.preOperate", {}))
        await asyncio.to_thread(server.asked.wait)
        replace(file, "new")
        assert await call == {}


async def test_it_is_sent_again_once(serve: Serve, file: Path, impatient: None) -> None:
    server = serve()
    server.expected = {"Authorization": "Bearer newer"}
    async with Client(server.address, token=Token.read(file)) as client:
        replace(file, "new")
        with pytest.raises(FatalError, match="status 401"):
            await client.call("workflow.preOperate", {})
    assert len(server.requests) == 2


async def test_a_credential_that_stays_refused_is_not_waited_for_again(
    serve: Serve, file: Path, impatient: None
) -> None:
    server = serve()
    server.expected = {"Authorization": "Bearer new"}
    async with Client(server.address, token=Token.read(file)) as client:
        for _ in range(20):
            with pytest.raises(FatalError, match="status 401"):
                await client.call("workflow.preOperate", {})
        assert len(server.requests) == 20
        replace(file, "new")
        await asyncio.sleep(0.06)
        assert await client.call("workflow.preOperate", {}) == {}


async def test_one_that_is_in_no_file_is_refused_at_once(serve: Serve) -> None:
    server = serve()
    server.expected = {"Authorization": "Bearer new"}
    async with Client(server.address, token="old") as client:
        with pytest.raises(FatalError, match="status 401"):
            await client.call("workflow.preOperate", {})
    assert len(server.requests) == 1


@pytest.mark.parametrize("lane", ["wire", "aiohttp"])
@pytest.mark.parametrize("batches", [True, False])
async def test_of_many_calls_those_that_were_under_way_are_sent_again(
    serve: Serve, file: Path, lane: LaneName, batches: bool
) -> None:
    server = serve()
    calls = 40
    outcomes: Outcomes = [None] * calls
    batch = BatchPolicy(enabled=batches)
    async with Client(server.address, lane=lane, token=Token.read(file), batch=batch) as client:
        await client.call(NODE, {})
        server.expected = {"Authorization": "Bearer new"}
        replace(file, "new")
        await client.ask(NODE, CallBatch(b"{}", [Call(b"{", "", b"{}", b"}")] * calls), outcomes, width=8)
    assert outcomes == [EMPTY] * calls
    again = 2 if batches else 8  # what was tried as a batch first is known to be refused before there are others
    assert len(server.requests) <= 1 + calls + again


async def test_nothing_shows_a_secret(
    serve: Serve, file: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    """The plugin says in its reply what it was sent."""
    caplog.set_level(logging.DEBUG)
    replace(file, "s3cret-1")
    server = serve()
    server.expected = {"Authorization": "no"}
    async with Client(server.address, token=Token.read(file), headers={"X-Key": Secret.read(file)}) as client:
        with pytest.raises(FatalError) as caught:
            await client.call("workflow.preOperate", {})
        replace(file, "s3cret-2")
        with pytest.raises(FatalError) as again:
            await client.call("workflow.preOperate", {})
        assert "***" in str(caught.value)
        for shown in (str(caught.value), str(again.value), repr(again.value), repr(client), caplog.text):
            assert "s3cret" not in shown


@pytest.mark.parametrize("text", ['no "s3cret\\1"', r'{"got": "\"s3cret\\1\""}'])
def test_a_secret_is_found_in_json_too(text: str) -> None:
    assert "s3cret" not in without(text, ['"s3cret\\1"'])
    assert b"s3cret" not in without(text.encode(), ['"s3cret\\1"'])


async def test_a_client_certificate_is_replaced_without_losing_a_call(
    serve: Serve, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    server = serve(server_context(authority, clients=authority))
    _, key = write_certificate(tmp_path, authority)
    (tmp_path / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "a"\naddress = "{server.address}"\n'
        'tls = { ca_file = "ca.pem", cert_file = "controller.pem", key_file = "controller.key" }\n'
    )
    async with Registry(tmp_path / "plugins.toml", watch=False) as registry:
        client = registry.snapshot()[0].client
        assert await client.call(NODE, {}) == {}
        before = server.connections
        assert await client.call(NODE, {}) == {}
        assert server.connections == before
        write_certificate(tmp_path, authority)
        assert (await registry.reload()).changed == ("a",)
        assert registry.snapshot()[0].client is client, "it keeps all that it learnt"
        assert await client.call(NODE, {}) == {}
        assert server.connections == before + 1, "by a connection of its own"
        key.write_text("half of a k")
        assert "key_file" in str((await registry.reload()).error)
        assert await client.call(NODE, {}) == {}


async def test_one_that_expires_while_it_is_in_force_holds_up_no_other_change(
    authority: trustme.CA, tmp_path: Path, logs: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    defaults = {**(Tls.__init__.__kwdefaults__ or {}), "clock": lambda: now[0]}
    monkeypatch.setattr(Tls.__init__, "__kwdefaults__", defaults)
    ends = datetime.fromtimestamp(now[0] + 3600, UTC)
    write_certificate(tmp_path, authority, not_after=ends)
    secure = '[[plugins]]\nname = "a"\naddress = "https://h"\n'
    secure += 'tls = { cert_file = "controller.pem", key_file = "controller.key" }\n'
    file = tmp_path / "plugins.toml"
    file.write_text(f"[engine]\nenabled = true\n{secure}")

    def errors() -> list[str]:
        return [line for line in logs().splitlines() if "level=info" not in line]

    async def add(registry: Registry, name: str) -> tuple[str, ...]:
        with file.open("a") as opened:
            opened.write(f'[[plugins]]\nname = "{name}"\naddress = "http://h"\n')
        record = await registry.reload()
        assert record.error is None
        return record.added

    async with Registry(file, watch=False) as registry:
        a = registry.snapshot()[0].client
        assert (await add(registry, "b"), errors()) == (("b",), [])
        now[0] += 7200
        assert await add(registry, "c") == ("c",)
        (line,) = errors()
        assert line.startswith('level=error msg="certificate has expired" name=a problem="cert_file: expected')
        assert f"it expired on {ends:%Y-%m-%d}" in line
        assert (await add(registry, "d"), errors()) == (("d",), [])
        assert registry.snapshot()[0].client is a
        write_certificate(tmp_path, authority, not_after=datetime.fromtimestamp(now[0] - 60, UTC))
        assert "tls.cert_file" in str((await registry.reload()).error)
        write_certificate(tmp_path, authority, not_after=datetime.fromtimestamp(now[0] + 60, UTC))
        assert (await registry.reload()).changed == ("a",)


@pytest.mark.parametrize("change", CHANGES)
async def test_rotations_under_load_fail_no_call(change: str, tmp_path: Path) -> None:
    result = await rotate(change, 3, tmp_path)
    assert (result.rotations, result.failures) == (3, [])
    assert result.calls > 0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ('{ "X Y" = { file = "secret" } }', "expected the name of a header, got 'X Y'"),
        ('{ "Host" = { file = "secret" } }', "Host is not for credentials: what it says is up to the client"),
        ('{ "transfer-encoding" = { file = "secret" } }', "transfer-encoding is not for credentials"),
        ('{ "A" = { file = "secret" }, "a" = { file = "secret" } }', "a is there twice"),
        ('{ "X-Key" = "literal" }', 'headers: expected the name of a file, as in { "X-Api-Key" = { file = "key" } }'),
        ('{ "X-Key" = { file = "none" } }', "cannot read"),
        ('{ "X-Key" = { file = "lines" } }', "got characters that a value of a header cannot have"),
        ('{ "X-Key" = { name = "secret" } }', "headers.name: unknown key, expected one of file"),
        (
            '{ "authorization" = { file = "secret" } }\ntoken_file = "secret"',
            "expected either authorization or a token",
        ),
    ],
)
def test_headers_that_cannot_be(file: Path, tmp_path: Path, headers: str, expected: str) -> None:
    (tmp_path / "lines").write_text("a\r\nX-Evil: 1")
    toml = tmp_path / "plugins.toml"
    toml.write_text(f'[[plugins]]\nname = "a"\naddress = "http://h"\nheaders = {headers}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(toml)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_that_everybody_may_read_is_warned_about_once(
    file: Path, authority: trustme.CA, tmp_path: Path, logs: Callable[[], str]
) -> None:
    _, key = write_certificate(tmp_path, authority)
    for each in (file, key):
        each.chmod(0o644)
    toml = tmp_path / "plugins.toml"
    toml.write_text(
        '[[plugins]]\nname = "a"\naddress = "https://h"\ntoken_file = "secret"\nheaders = { A = { file = "secret" } }\n'
        'tls = { cert_file = "controller.pem", key_file = "controller.key" }\n'
    )
    config = load_config(toml)
    load_config(toml)
    said = logs().splitlines()
    assert sorted(line.split(" file=")[1].split()[0] for line in said) == [str(key), str(file)]
    assert "old" not in repr(config)
    assert isinstance(config.plugins[0].tls, Tls)


async def test_workflows_go_on_while_token_and_plugin_are_rotated_together(
    serve: Serve, file: Path, tmp_path: Path
) -> None:
    server = serve()
    server.expected = {"Authorization": "Bearer old"}
    (tmp_path / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "a"\naddress = "{server.address}"\ntoken_file = "secret"\n'
    )
    fan = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "20"}}]]}
    works = [workflow(fan, container("work"), name=f"w{number}") for number in range(10)]
    async with Engine.from_config(tmp_path / "plugins.toml") as engine:
        running = asyncio.ensure_future(engine.run(works))
        rotations = 0
        while not running.done():
            rotations += 1
            server.expected = {"Authorization": f"Bearer new-{rotations}"}
            await asyncio.sleep(0.02)
            replace(file, f"new-{rotations}")
            await asyncio.wait([running], timeout=0.1)
        await running
    assert [work.phase for work in works] == ["Succeeded"] * len(works)
