"""Replicas of a plugin behind one name, restarted in turn under load: ``python -m tests.replicas.rolling --rounds 5``.

Single calls, batches and whole workflows go on meanwhile. A restart is a SIGTERM, or with ``--kill`` a SIGKILL, a
moment with nobody at the address, and a new process. What fails, for whatever reason, is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from unittest.mock import patch

import uvloop

from engine import Engine, Workflow
from rpc import Client, Method, PluginError
from rpc.batches import CallBatch
from rpc.window import Outcomes
from tests import ports
from tests.asking import CALL

NAME: Final = "replicas.test"
HOSTS: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SINGLE, BATCHED, WORKFLOWS = 8, 2, 2
"""Callers of each kind, one call, batch or workflow at a time."""
CALLS: Final = 200
"""Of a batch."""
AWAY: Final = 0.3
"""Seconds for which nobody is at an address."""
AMID: Final = 0.5
"""Seconds between two restarts."""

CONFIGURATION: Final = """
[engine]
enabled = true

[[plugins]]
name = "replicated"
address = "http://{name}:{port}"
lane = "{lane}"
balance = "{balance}"
retry = {{ attempts = {attempts} }}
"""
WORKFLOW: Final[dict[str, Any]] = {
    "entrypoint": "main",
    "templates": [
        {"name": "main", "steps": [[{"name": "each", "template": "leaf", "withSequence": {"count": "20"}}]]},
        {"name": "leaf", "container": {"image": "busybox", "command": ["true"]}},
    ],
}


@dataclass
class Result:
    """How many there were of each kind, and why some failed."""

    restarts: int = 0
    calls: int = 0
    batched: int = 0
    workflows: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    aborted: int = 0
    seconds: float = 0.0


class Replica:
    """One process at one address."""

    def __init__(self, host: str, port: int) -> None:
        self._arguments = ("-m", "tests.replicas.replica", host, str(port))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        line = await self._process.stderr.readline()
        assert b"listening" in line, line

    async def end(self, number: signal.Signals) -> None:
        """Returns once it is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            await self._process.communicate()
            self._process = None


@asynccontextmanager
async def replicas() -> AsyncIterator[tuple[list[Replica], int]]:
    """Three, each at an address of its own, and their port; their name can be looked up in the running loop."""
    (port,) = ports.free()
    loop = asyncio.get_running_loop()
    look_up: Callable[..., Awaitable[Any]] = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if host != NAME:
            return await look_up(host, port, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in HOSTS]

    all_of_them = [Replica(host, port) for host in HOSTS]
    try:
        for each in all_of_them:
            await each.start()
        with patch.object(loop, "getaddrinfo", getaddrinfo):
            yield all_of_them, port
    finally:
        await asyncio.gather(*(each.end(signal.SIGKILL) for each in all_of_them))


async def restart_all(
    folder: Path, *, lane: str, balance: str, number: signal.Signals, rounds: int, attempts: int
) -> Result:
    """Restart each of them so many times, in turn, and see what became of the load."""
    result = Result()
    started = perf_counter()
    async with replicas() as (all_of_them, port):
        (folder / "plugins.toml").write_text(
            CONFIGURATION.format(name=NAME, port=port, lane=lane, balance=balance, attempts=attempts)
        )
        async with Engine.from_config(folder / "plugins.toml") as engine:
            assert engine.registry is not None
            client = engine.registry.snapshot()[0].client
            over = asyncio.Event()
            load = [
                *(_call(client, result, over) for _ in range(SINGLE)),
                *(_ask(client, result, over) for _ in range(BATCHED)),
                _run(engine, result, over),
            ]
            tasks = [asyncio.create_task(each) for each in load]
            for _ in range(rounds):
                for each in all_of_them:
                    await asyncio.sleep(AMID)
                    await each.end(number)
                    await asyncio.sleep(AWAY)
                    await each.start()
                    result.restarts += 1
            await asyncio.sleep(AMID)
            over.set()
            await asyncio.gather(*tasks)
            result.retries = client.stats.retries
            result.aborted = engine.stats.aborted
    result.seconds = perf_counter() - started
    return result


async def _call(client: Client, result: Result, over: asyncio.Event) -> None:
    while not over.is_set():
        result.calls += 1
        try:
            await client.call("workflow.preOperate", {})
        except PluginError as error:
            result.failures[f"call: {error.reason}"] += 1


async def _ask(client: Client, result: Result, over: asyncio.Event) -> None:
    while not over.is_set():
        outcomes: Outcomes = [None] * CALLS
        result.batched += CALLS
        try:
            await client.ask(Method.NODE_PRE_EXECUTE, CallBatch(b"{}", (CALL,) * CALLS), outcomes, tolerant=True)
        except PluginError as error:
            result.failures[f"batch: {error.reason}"] += 1
        for outcome in outcomes:
            if isinstance(outcome, PluginError):
                result.failures[f"call in a batch: {outcome.reason}"] += 1


async def _run(engine: Engine, result: Result, over: asyncio.Event) -> None:
    serving = asyncio.create_task(engine.serve())
    names = (f"work-{number}" for number in count())

    async def one_after_the_other() -> None:
        while not over.is_set():
            workflow = Workflow({"metadata": {"name": next(names)}, "spec": WORKFLOW})
            await engine.submit(workflow).finished()
            result.workflows += 1
            if workflow.phase != "Succeeded":
                result.failures[f"workflow: {workflow.message}"] += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(WORKFLOWS)))
    engine.drain(10.0)
    await serving


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.replicas.rolling")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    number = signal.SIGKILL if options.kill else signal.SIGTERM
    code = 0
    for lane in ("wire", "aiohttp"):
        for balance in ("first", "all"):
            with tempfile.TemporaryDirectory() as folder:
                it = uvloop.run(
                    restart_all(
                        Path(folder),
                        lane=lane,
                        balance=balance,
                        number=number,
                        rounds=options.rounds,
                        attempts=options.attempts,
                    )
                )
            print(
                f"{lane:7} {balance:5}: {it.restarts} restarts in {it.seconds:.0f} s; failed: {it.failures.total()} of "
                f"{it.calls} calls, {it.batched} in batches and {it.workflows} workflows; "
                f"{it.retries} retries, {it.aborted} passes aborted"
            )
            for why, times in it.failures.most_common(5):
                print(f"    {times} x {why}")
            code = code or int(bool(it.failures))
    return code


if __name__ == "__main__":
    sys.exit(main())
