"""Tokens, client certificates and authorities rotated under load: ``python -m tests.security.rotation --times 50``.

Eight callers call a plugin as fast as they can, while its operator changes its credentials and the files that the
controller reads, in the order that docs/security.md tells. A call that fails, for whatever reason, is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

import trustme
import uvloop

from registry import Registry, Reload
from rpc import Client, PluginError
from tests.security.servers import SecureServer, server_context, serving

CALLERS: Final = 8
AMID: Final = 50
"""Calls more between two rotations."""

CONFIGURATION: Final = """
[engine]
enabled = true

[[plugins]]
name = "rotated"
address = "{address}"
timeout = "5s"
retry = {{ attempts = 1 }}
token_file = "token"
tls = {{ ca_file = "ca.pem", cert_file = "pair.pem" }}
"""


@dataclass
class Result:
    rotations: int = 0
    calls: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Operator:
    """Who rotates what a plugin and its caller have. ``taken``: waits until the caller has read what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = "token-0"
        self.authority = self.clients = trustme.CA()
        self.put("token", self.token.encode())
        self.put("ca.pem", self.authority.cert_pem.bytes())
        self.put_certificate()
        self.context = server_context(self.authority, clients=self.clients)

    def put(self, name: str, content: bytes) -> None:
        """At once, as a mounted secret is swapped."""
        new = self.folder / f"{name}.new"
        new.write_bytes(content)
        new.chmod(0o600)
        os.replace(new, self.folder / name)

    def put_certificate(self) -> None:
        issued = self.clients.issue_cert(common_name="controller")
        self.put("pair.pem", issued.private_key_and_cert_chain_pem.bytes())

    async def rotate_token(self, server: SecureServer, taken: Callable[[], Awaitable[object]]) -> None:
        """The plugin's first, the file's a moment later: who is refused in between waits for it."""
        self.token = f"token-{int(self.token.partition('-')[2]) + 1}"
        server.expected = {"Authorization": f"Bearer {self.token}"}
        await asyncio.sleep(0.02)
        self.put("token", self.token.encode())
        await taken()

    async def rotate_certificate(self, server: SecureServer, taken: Callable[[], Awaitable[object]]) -> None:
        """To one by another authority, which the plugin is told of before, and has alone afterwards."""
        before, self.clients = self.clients, trustme.CA()
        server.context = server_context(self.authority, clients=before)
        self.clients.configure_trust(server.context)
        self.put_certificate()
        await taken()
        server.context = server_context(self.authority, clients=self.clients)

    async def rotate_authority(self, server: SecureServer, taken: Callable[[], Awaitable[object]]) -> None:
        """The new one is trusted before the plugin has a certificate by it, the old one until then."""
        before, self.authority = self.authority, trustme.CA()
        self.put("ca.pem", before.cert_pem.bytes() + self.authority.cert_pem.bytes())
        await taken()
        server.context = server_context(self.authority, clients=self.clients)
        self.put("ca.pem", self.authority.cert_pem.bytes())
        await taken()


CHANGES: Final = {
    "token": Operator.rotate_token,
    "certificate": Operator.rotate_certificate,
    "authority": Operator.rotate_authority,
}


async def rotate(change: str, times: int, folder: Path) -> Result:
    """Rotate so often, in a folder of its own, and see what became of the calls."""
    operator = Operator(folder)
    result = Result()
    started = perf_counter()
    reloads: asyncio.Queue[Reload] = asyncio.Queue()

    async def taken() -> None:
        assert (await reloads.get()).error is None

    with serving(operator.context) as server:
        server.expected = {"Authorization": f"Bearer {operator.token}"}
        (folder / "plugins.toml").write_text(CONFIGURATION.format(address=server.address))
        async with Registry(folder / "plugins.toml", on_reload=reloads.put_nowait) as registry:
            client = registry.snapshot()[0].client
            over = asyncio.Event()
            callers = [asyncio.create_task(_go_on_calling(client, result, over)) for _ in range(CALLERS)]
            for _ in range(times):
                await CHANGES[change](operator, server, taken)
                result.rotations += 1
                await asyncio.gather(*(_call(client, result) for _ in range(AMID)))
            over.set()
            await asyncio.gather(*callers)
            assert registry.snapshot()[0].client is client
    result.seconds = perf_counter() - started
    return result


async def _go_on_calling(client: Client, result: Result, over: asyncio.Event) -> None:
    while not over.is_set():
        await _call(client, result)


async def _call(client: Client, result: Result) -> None:
    try:
        await client.call("workflow.preOperate", {})
    except PluginError as error:
        result.failures.append(error.reason)
    result.calls += 1


async def _main(times: int) -> bool:
    good = True
    for change in CHANGES:
        with tempfile.TemporaryDirectory() as folder:
            result = await rotate(change, times, Path(folder))
        print(
            f"{change}: {result.rotations} rotations in {result.seconds:.0f} s, {result.calls} calls, "
            f"{len(result.failures)} failed"
        )
        for reason in sorted(set(result.failures)):
            print(f"  {result.failures.count(reason)} x {reason}")
        good = good and not result.failures
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rotate a plugin's credentials under load.")
    parser.add_argument("--times", type=int, default=50, help="how often each (default: 50)")
    sys.exit(0 if uvloop.run(_main(parser.parse_args().times)) else 1)
