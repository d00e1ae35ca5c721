"""The servers that are measured against, each a process of its own, each gone when the bench is.

Peers are compared on nginx: a server slower than the clients would make them all look alike. The SDK's own server
plays the plugins where a plugin has to do something: reply with a patch, take its time, count its calls.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template

import msgspec

from bench import processes
from bench.plugin_server import Behaviour, Counted

START_SECONDS = 10.0
_CONFIG = Template((Path(__file__).parent / "nginx.conf").read_text())


class Missing(Exception):
    """A server or peer that cannot be had on this machine; the message says which, and why."""


class Nginx:
    """A running nginx with one worker, which answers as the behaviours say, and 404 to everything else."""

    def __init__(self, version: str, port: int, plugins: int) -> None:
        self.name = version
        self.addresses = [f"http://127.0.0.1:{port}/{number}" for number in range(plugins)]
        self._port = port

    def requests(self) -> int:
        """Requests answered so far, by the server's own count (the one asking is in it)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/status")
            page = connection.getresponse().read().decode()
        finally:
            connection.close()
        return int(page.split("requests")[1].split()[2])


def nginx_version() -> str:
    """``nginx 1.22.1``; raises `Missing` where it is not installed."""
    if shutil.which("nginx") is None:
        raise Missing("nginx is not installed")
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", said)
    return f"nginx {found[1]}" if found else "nginx"


@contextmanager
def nginx(behaviours: Sequence[Behaviour]) -> Iterator[Nginx]:
    """Serve all behaviours from one nginx on a free port, its worker bound to the last core where there are several.

    Clients are bound to none: those with several threads may use what the server leaves. It cannot wait, so latencies
    are not looked at. Raises `Missing` where nginx is not installed or does not start.
    """
    port = free_port()
    locations = "".join(
        f"location = /{number}/{method} {{ return 200 '{msgspec.json.encode(reply).decode()}'; }} "
        for number, behaviour in enumerate(behaviours)
        for method, reply in behaviour.replies.items()
    )
    rest = "location = /status { stub_status; } location / { return 404; }"
    with tempfile.TemporaryDirectory(prefix="oarlock-nginx-") as folder:
        inside = f"server {{ listen 127.0.0.1:{port} backlog=1024; {locations}{rest} }}"
        with run_nginx(inside, Path(folder), port) as version:
            yield Nginx(version, port, len(behaviours))


@contextmanager
def run_nginx(inside: str, folder: Path, port: int) -> Iterator[str]:
    """Run one that does as said `inside` of its ``http {}``, and has `folder` to itself; yields its version.

    Raises `Missing` where it is not installed, or does not listen at `port` in time.
    """
    version = nginx_version()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    affinity = f"worker_cpu_affinity {1 << cores[-1]:b};" if len(cores) > 1 else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.substitute(prefix=folder, affinity=affinity, inside=inside))
    with processes.child(["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"]) as process:
        assert process.stderr is not None
        said = processes.Drain(process.stderr)
        if not _listens(process, port):
            processes.stop(process)
            raise Missing(f"nginx does not start: {said.text().decode(errors='replace').strip()}")
        yield version


class PluginServers:
    """Running plugin processes, in the order of their behaviours."""

    name = "SDK plugins"

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.processes = list(processes)

    def stop(self) -> list[Counted | None]:
        """Stop them all; returns what each served, None for one that did not live to tell."""
        for process in self.processes:
            process.terminate()
        return [_last_words(process) for process in self.processes]


@contextmanager
def plugins(behaviours: Iterable[Behaviour]) -> Iterator[PluginServers]:
    """Run one plugin process per behaviour. Raises `Missing` where one does not start."""
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        for behaviour in behaviours:
            told = msgspec.json.encode(behaviour).decode()
            command = [sys.executable, "-m", "bench.plugin_server", told]
            running.append(stack.enter_context(processes.child(command)))
        yield PluginServers(running, [_first_words(process) for process in running])


@contextmanager
def plain() -> Iterator[str]:
    """Run the proposal's plugin on ``http.server``; yields its address. Raises `Missing` where it does not start."""
    with processes.child([sys.executable, "-m", "bench.plain_server"]) as process:
        yield _first_words(process)


def _first_words(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    address = process.stdout.readline().decode().strip()
    if not address:
        raise Missing(f"a plugin does not start: {processes.last_line(process.stderr.read())}")
    return address


def _last_words(process: subprocess.Popen[bytes]) -> Counted | None:
    assert process.stdout is not None
    try:
        return msgspec.json.decode(process.stdout.read(), type=Counted)
    except msgspec.DecodeError:
        return None


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return True
    return False
