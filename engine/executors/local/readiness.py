"""When a daemon is up: at once, or when its `readinessProbe` says so."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.executors.local.configuration import CannotRun
from engine.substitution.variables import text_of

Document = Mapping[str, Any]

PROBES: Final = ("exec", "httpGet", "tcpSocket")
_NUMBERS: Final = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold")


def check_probe(container: Document) -> Document:
    """The probe of a container, empty where it has none. Raises `CannotRun` for one that cannot be made."""
    probe: Document = container.get("readinessProbe") or {}
    if probe and not any(probe.get(kind) for kind in PROBES):
        raise CannotRun("readinessProbe", f"expected one of {', '.join(PROBES)}")
    for field in _NUMBERS:
        if not isinstance(probe.get(field) or 0, int | float):
            raise CannotRun(f"readinessProbe.{field}", f"expected a number, got {probe[field]!r}")
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
        except (OSError, TimeoutError):
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
    return await _get(host, port, asked)


async def _get(host: str, port: int, asked: Document) -> bool:
    """Whether a GET is answered with a success or a redirection."""
    trusting = ssl.create_default_context() if str(asked.get("scheme")).upper() == "HTTPS" else None
    if trusting is not None:  # a probe trusts anybody, as the kubelet does
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=trusting)
    try:
        headers = "".join(f"{each['name']}: {each.get('value') or ''}\r\n" for each in asked.get("httpHeaders") or ())
        path = str(asked.get("path") or "/").lstrip("/")
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}Connection: close\r\n\r\n".encode())
        status = (await reader.readline()).split(b" ")
        return len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400
    finally:
        writer.close()


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
