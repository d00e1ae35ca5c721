"""When a daemon is up: at once, or when its `readinessProbe` says so."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from engine.executors.local.configuration import CannotRun
from engine.substitution.variables import text_of

Document = Mapping[str, Any]

PROBES: Final = ("exec", "httpGet", "tcpSocket")


def check_probe(container: Document) -> Document:
    """The probe of a container, empty where it has none. Raises `CannotRun` for one of another kind."""
    probe: Document = container.get("readinessProbe") or {}
    if probe and not any(probe.get(kind) for kind in PROBES):
        raise CannotRun("readinessProbe", f"expected one of {', '.join(PROBES)}")
    return probe


async def until_ready(probe: Document, container: Document, leaf: Path) -> None:
    """Ask until it succeeds, as often in a row as it says. The defaults are those of Kubernetes."""
    if not probe:
        return
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    good = 0
    while True:
        try:
            async with asyncio.timeout(probe.get("timeoutSeconds") or 1):
                good = good + 1 if await _succeeds(probe, container, leaf) else 0
        except (OSError, TimeoutError, aiohttp.ClientError):
            good = 0
        if good >= (probe.get("successThreshold") or 1):
            return
        await asyncio.sleep(probe.get("periodSeconds") or 10)


async def _succeeds(probe: Document, container: Document, leaf: Path) -> bool:
    if probe.get("exec"):
        return await _run([text_of(each) for each in probe["exec"].get("command") or ()], leaf)
    asked: Document = probe.get("httpGet") or probe["tcpSocket"]
    host, port = asked.get("host") or "127.0.0.1", _port(asked.get("port"), container)
    if probe.get("tcpSocket"):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True
    scheme, path = str(asked.get("scheme") or "HTTP").lower(), str(asked.get("path") or "/").lstrip("/")
    headers = {each["name"]: each.get("value") or "" for each in asked.get("httpHeaders") or ()}
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE  # a probe trusts anybody, as the kubelet does
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{scheme}://{host}:{port}/{path}", ssl=insecure, allow_redirects=False) as reply,
    ):
        return 200 <= reply.status < 400


def _port(port: object, container: Document) -> int:
    """The number of a port, which may be given by its name. Raises `OSError` where there is none of that name."""
    if isinstance(port, int) or str(port).isdigit():
        return int(str(port))
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    raise OSError(f"no port is called {port!r}")


async def _run(command: list[str], leaf: Path) -> bool:
    settings = marshal.loads((leaf / "supervised").read_bytes())
    own = next(each for each in settings["containers"] if each["role"] == "main")
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=own["cwd"],
        env=own["env"],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
