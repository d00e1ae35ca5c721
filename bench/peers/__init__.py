"""Other clients, made to do the same: as many POSTs of one body, over as many connections, to the same server.

Each runs in a process of its own and is asked for two figures: calls/s, and the processor time that a call cost it by
the operating system's accounting, which a noisy neighbour moves less.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import processes
from bench.peers.window import Outcome, Task
from bench.servers import Missing

_HERE = Path(__file__).parent
_SLOWEST = 1_000.0
"""Calls/s below which a peer is taken to hang."""


class Peer(NamedTuple):
    """A client to compare with. ``share`` of the calls is what it sends: all, but for the loops that take minutes."""

    name: str
    send: Callable[[Task], Outcome]
    share: float = 1.0


class Failed(Exception):
    """A peer started and did not deliver; the message is its own last line."""


@contextmanager
def installed() -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """The peers that can be had here, and the reason for each that cannot."""
    with tempfile.TemporaryDirectory(prefix="oarlock-peers-") as folder:
        present: list[Peer] = []
        missing: dict[str, str] = {}

        def offer(name: str, make: Callable[[], Callable[[Task], Outcome]], share: float = 1.0) -> None:
            try:
                present.append(Peer(name, make(), share))
            except Missing as reason:
                missing[name] = str(reason)

        offer("wrk", lambda: _wrk(Path(folder)))
        offer("Go net/http", lambda: _go(Path(folder)))
        offer("aiohttp", lambda: _python("aiohttp_client", "aiohttp"))
        offer("pyreqwest", lambda: _python("pyreqwest_client", "pyreqwest"))
        # One call at a time has the same speed however many there are, and 500k of them take a minute.
        offer("sequential Go", lambda: _alone(_go(Path(folder))), share=0.1)
        offer("sequential Python", lambda: _alone(_python("sequential", "http")), share=0.1)
        yield present, missing


def lane(name: str) -> Peer:
    """Oarlock's own client on one of its lanes, with no engine around it."""
    command = [sys.executable, "-m", "bench.peers.lane_client"]
    return Peer(f"{name} lane", lambda task: _told(command, task, name))


def _python(module: str, library: str) -> Callable[[Task], Outcome]:
    if find_spec(library) is None:
        raise Missing(f"{library} is not installed")
    return lambda task: _told([sys.executable, "-m", f"bench.peers.{module}"], task)


def _go(folder: Path) -> Callable[[Task], Outcome]:
    if shutil.which("go") is None:
        raise Missing("no Go compiler is installed")
    program = folder / "client"
    if not program.exists():
        built = processes.run(["go", "build", "-o", str(program), str(_HERE / "client.go")], timeout=300)
        if built.code:
            raise Missing(f"the Go program does not build: {processes.last_line(built.errors)}")
    return lambda task: _told([str(program)], task)


def _alone(send: Callable[[Task], Outcome]) -> Callable[[Task], Outcome]:
    return lambda task: send(msgspec.structs.replace(task, connections=1))


def _told(command: list[str], task: Task, *more: str) -> Outcome:
    """Run a program that takes a task and answers with an outcome."""
    done = processes.run([*command, msgspec.json.encode(task).decode(), *more], timeout=_patience(task))
    if done.code:
        raise Failed(processes.last_line(done.errors))
    return msgspec.json.decode(done.output, type=Outcome)


def _wrk(folder: Path) -> Callable[[Task], Outcome]:
    """wrk counts seconds, not calls: a short run finds its speed, a second one lasts about as long as the calls do.

    It has no interpreter to start, so the processor time of its whole life counts.
    """
    if shutil.which("wrk") is None:
        raise Missing("wrk is not installed")

    def run(task: Task, seconds: int) -> Outcome:
        body = folder / "body"
        body.write_text(task.body)
        options = ["-t", "1", "-c", str(task.connections), "-d", f"{seconds}s", "-s", str(_HERE / "wrk.lua")]
        done = processes.run(["wrk", *options, task.url, "--", str(body)], timeout=seconds + 30)
        if done.code:
            raise Failed(processes.last_line(done.errors))
        outcome = msgspec.json.decode(done.output.splitlines()[-1], type=Outcome)
        outcome.cpu_seconds, outcome.system_seconds = done.cpu_seconds, done.system_seconds
        return outcome

    def send(task: Task) -> Outcome:
        trial = run(task, 1)
        return run(task, max(1, math.ceil(task.calls * trial.seconds / max(trial.calls, 1))))

    return send


def _patience(task: Task) -> float:
    return 60 + (task.calls + task.warm_up) / _SLOWEST
