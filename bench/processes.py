"""Child processes that never outlive the bench, whichever way it ends.

A server left running would take a core from every later measurement, so there are three nets: a context manager for
the ordinary ways out (Ctrl-C is one), `raise_on_sigterm` to make the polite kill an ordinary way out, and the kernel's
parent-death signal for the rude one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, NamedTuple

GRACE_SECONDS = 5.0


class Finished(NamedTuple):
    """A child that ran to its end. Processor time is of all its threads (wait4(2)): user plus system, and system."""

    output: bytes
    errors: bytes
    code: int
    cpu_seconds: float
    system_seconds: float


class Stuck(Exception):
    """A child did not finish in the time it was given, and was killed."""


def raise_on_sigterm() -> None:
    """Make SIGTERM unwind the stack as Ctrl-C does, so that every context manager stops what it started."""

    def unwind(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)


@contextmanager
def child(command: Sequence[str], *, stdin: int | None = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with pipes for its output; stop it at the end.

    A session of its own keeps the terminal's Ctrl-C from it: the bench alone decides in which order things stop.
    """
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        stop(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate; kill after the grace time. Returns once the process is gone and reaped."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(command: Sequence[str], *, timeout: float) -> Finished:
    """Run `command` to its end and account for it. Raises `Stuck` after `timeout` seconds."""
    with child(command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = Drain(process.stderr)
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout, kill)
        timer.start()
        try:
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
            timer.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if late.is_set():
            raise Stuck(f"{command[0]} did not finish in {timeout:.0f} s")
        return Finished(output, errors.text(), process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_stime)


def last_line(errors: bytes) -> str:
    """What a child said last, be it nothing."""
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


class Drain:
    """Reads a child's stream from the start on, so that the child never blocks on a full pipe."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._bytes = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            self._bytes = self._stream.read()

    def text(self) -> bytes:
        """All that the child wrote; waits until it closed the stream."""
        self._thread.join()
        return self._bytes
