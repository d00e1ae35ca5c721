"""The plugins' processes: each has its address for good, and is killed, stopped, held still and started again on it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from tests import ports

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 60.0


@dataclass
class Process:
    """A plugin's process, alive or not. ``arguments`` are those of ``python -m`` but for the address, the last one."""

    name: str
    address: str
    arguments: Sequence[str]
    calm: Sequence[str]
    """The arguments with which it makes no more trouble."""
    log: IO[bytes]
    starts: int = 0
    held: bool = False
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, *, calm: bool = False) -> None:
        """Begin to start it; it is not listening yet when this returns."""
        self.starts += 1
        arguments = self.calm if calm else self.arguments
        self.running = subprocess.Popen(
            [sys.executable, "-m", *arguments, self.address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it `number`; kill it if that does not end it within a second. Returns once it is gone."""
        process, self.running = self.running, None
        if process is None:
            return
        process.send_signal(number)
        for patience in range(100):
            if process.poll() is not None:
                break
            await asyncio.sleep(0.01)
            if patience == 98:
                process.kill()
                process.wait()
        assert process.stdin is not None
        process.stdin.close()
        self.held = False

    def hold(self) -> None:
        """Have it do nothing, with its sockets open, until `let_go`."""
        if self.running is not None:
            self.running.send_signal(signal.SIGSTOP)
            self.held = True

    def let_go(self) -> None:
        if self.running is not None and self.held:
            self.running.send_signal(signal.SIGCONT)
        self.held = False

    def said(self) -> bytes:
        """The end of what it wrote to its output."""
        return Path(self.log.name).read_bytes()[-2000:]

    async def listens(self) -> None:
        """Wait until it takes connections. Raises `RuntimeError` where it does not come to that."""
        async with asyncio.timeout(START_SECONDS):
            while not await _connects(self.address):
                if self.running is None or self.running.poll() is not None:
                    raise RuntimeError(f"the plugin {self.name} did not start: {self.said()!r}")
                await asyncio.sleep(0.02)


class Processes:
    """All of them, by name; a context manager that leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_name: dict[str, Process] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self:
            running = process.running
            if running is not None:
                running.kill()
                running.wait()
                assert running.stdin is not None
                with suppress(OSError):
                    running.stdin.close()
            process.log.close()

    def __iter__(self) -> Iterator[Process]:
        return iter(self._by_name.values())

    def add(self, name: str, *arguments: str, calm: Sequence[str] | None = None, unix: bool = False) -> Process:
        """One more, not started yet."""
        address = f"unix://{self._folder / name}.sock" if unix else f"http://127.0.0.1:{self._free_port()}"
        log = (self._folder / f"{name}.log").open("wb")
        process = self._by_name[name] = Process(name, address, arguments, calm or arguments, log)
        return process

    def _free_port(self) -> int:
        taken = {urlsplit(process.address).port for process in self}
        while True:
            (port,) = ports.free()
            if port not in taken:
                return port


async def _connects(address: str) -> bool:
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix":
            _, writer = await asyncio.open_unix_connection(parts.path)
        else:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    return True
