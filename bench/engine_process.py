"""This side of the engine's process: start it, tell it to loop, and watch its memory while it does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
from msgspec.structs import replace

from bench import processes
from bench.messages import Load, Looped, Message, Progress, Ready, Trouble

_SAMPLE_SECONDS = 0.01


class EngineFailed(Exception):
    """The engine's process gave up; the message is its reason."""


class EngineProcess:
    """A running engine with a loaded graph, waiting to be told to loop."""

    def __init__(self, process: subprocess.Popen[bytes], errors: processes.Drain) -> None:
        self._process = process
        self._errors = errors
        said = self._next()
        assert isinstance(said, Ready)
        self.ready = said

    def loop(self, *, observe: bool, progress: Callable[[Progress], None] = lambda _: None) -> Looped:
        """Run one loop; `observe` it call by call, which costs a little, or only as a whole.

        Raises `EngineFailed`.
        """
        assert self._process.stdin is not None
        with _Memory(self.ready.pid) as memory:
            try:
                self._process.stdin.write(b"observe\n" if observe else b"loop\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                pass  # its last words are still to be read
            while isinstance(said := self._next(), Progress):
                progress(said)
        assert isinstance(said, Looped)
        return replace(said, loop=replace(said.loop, added_rss_bytes=memory.added))

    def finish(self) -> None:
        """Let it end by itself, as a profiler that runs it needs to write its result."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _next(self) -> Message:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith(b"{"):
                continue  # a profiler talks on the same pipe
            said: Message = msgspec.json.decode(line, type=Message)
            if isinstance(said, Trouble):
                raise EngineFailed(said.reason)
            return said
        raise EngineFailed(f"the engine's process ended: {processes.last_line(self._errors.text())}")


@contextmanager
def engine_process(load: Load, *, profile: Path | None = None) -> Iterator[EngineProcess]:
    """Start an engine, with `profile` under py-spy, which writes a flame graph there at the end.

    Raises `EngineFailed` where it does not get as far as a loaded graph.
    """
    command = [sys.executable, "-m", "bench.subject", msgspec.json.encode(load).decode()]
    if profile is not None:
        spy = str(Path(sys.executable).with_name("py-spy"))
        command = [spy, "record", "--rate", "250", "--format", "flamegraph", "--output", str(profile), "--", *command]
    with processes.child(command, stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        yield EngineProcess(process, processes.Drain(process.stderr))


class _Memory:
    """The highest resident memory of a process over what it was at the start, sampled from outside of it."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._peak = self._resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._peak = max(self._peak, self._resident())

    @property
    def added(self) -> int:
        """Bytes."""
        return self._peak - self._before

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> int:
        try:
            resident: int = self._process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0
        return resident
