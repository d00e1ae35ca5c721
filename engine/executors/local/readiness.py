"""When a daemon is up: at once, or when its `readinessProbe` says so."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import ssl
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.executors.local.configuration import CannotRun
from engine.executors.local.shapes import PORTS, Port, checked
from engine.shape import Document
from engine.shape.values import Shape, Text
from engine.substitution.variables import text_of

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class _Exec(Shape):
    command: list[Any] = msgspec.field(default_factory=list)


class _Socket(Shape):
    port: Port | str
    host: Text = None


class _Header(Shape):
    name: str
    value: Text = None


class _Get(_Socket):
    path: Text = None
    scheme: Text = None
    http_headers: list[_Header] | None = None


class Probe(Shape):
    """A `readinessProbe`; what is null has the default of Kubernetes."""

    exec: _Exec | None = None
    http_get: _Get | None = None
    tcp_socket: _Socket | None = None
    initial_delay_seconds: Seconds | None = None
    period_seconds: Seconds | None = None
    timeout_seconds: Seconds | None = None
    success_threshold: int | None = None


class _Probed(Shape):
    readiness_probe: Probe | None = None


def check_probe(container: Document) -> Probe | None:
    """The probe of a container, if it has one. Raises `CannotRun` for one of another kind, or that is wrong."""
    given = container.get("readinessProbe")
    if not given:
        return None
    probe = checked({"readinessProbe": given}, _Probed).readiness_probe
    assert probe is not None
    if not (probe.exec or probe.http_get or probe.tcp_socket):
        raise CannotRun("readinessProbe", "expected one of exec, httpGet, tcpSocket")
    if asked := probe.http_get or probe.tcp_socket:
        _port(asked.port, container)
    return probe


async def until_ready(probe: Probe | None, container: Document, leaf: Path) -> None:
    """Ask until it succeeds, as often in a row as it says."""
    if probe is None:
        return
    await asyncio.sleep(probe.initial_delay_seconds or 0)
    good = 0
    while True:
        try:
            async with asyncio.timeout(probe.timeout_seconds or 1):
                good = good + 1 if await _succeeds(probe, container, leaf) else 0
        except (OSError, TimeoutError, ValueError):  # of the latter are a line without end, and a NUL in a command
            good = 0
        if good >= (probe.success_threshold or 1):
            return
        await asyncio.sleep(probe.period_seconds or 10)


async def _succeeds(probe: Probe, container: Document, leaf: Path) -> bool:
    if probe.exec is not None:
        return await _run([text_of(each) for each in probe.exec.command], leaf)
    asked = probe.http_get or probe.tcp_socket
    assert asked is not None, "a probe that was checked has one of them"
    host, port = asked.host or "127.0.0.1", _port(asked.port, container)
    if isinstance(asked, _Get):
        return await _get(host, port, asked)
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True


async def _get(host: str, port: int, asked: _Get) -> bool:
    """Whether a GET is answered with a success or a redirection."""
    trusting = ssl.create_default_context() if (asked.scheme or "").upper() == "HTTPS" else None
    if trusting is not None:  # a probe trusts anybody, as the kubelet does
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=trusting)
    try:
        headers = "".join(f"{each.name}: {each.value or ''}\r\n" for each in asked.http_headers or ())
        path = (asked.path or "/").lstrip("/")
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}Connection: close\r\n\r\n".encode())
        status = (await reader.readline()).split(b" ")
        return len(status) > 1 and status[1].isdigit() and 200 <= int(status[1]) < 400
    finally:
        writer.close()


def _port(port: int | str, container: Document) -> int:
    """The number of a port, which may be given by its name. Raises `CannotRun` where there is none of that name."""
    named = {each.get("name"): each.get("containerPort") for each in container.get("ports") or ()}
    number: int = int(port) if isinstance(port, int) or (port.isdecimal() and len(port) < 6) else named.get(port) or 0
    if number not in PORTS:
        raise CannotRun("readinessProbe.port", f"expected the name of one of the container's ports, got {port!r}")
    return number


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
