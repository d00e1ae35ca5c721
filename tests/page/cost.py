"""What a page open on a running workflow costs the engine: ``python -m tests.page.cost``, some two minutes.

A server runs a loop of 10,000 leaves, 500 at a time, which end one after the other. Its processor time from the
submission to the end is taken with nobody looking and with somebody who has the streams of the page open, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
from pathlib import Path

import psutil
import yaml

from tests.serving.conftest import Served, end, start
from tests.serving.inside import Document, leaf, workflow

STREAMS = ("/api/oarlock/workflows/default/large",)


def large(nodes: int) -> Document:
    loop = {"name": "loop", "template": "work", "withSequence": {"count": str(nodes)}}
    return workflow("large", {"name": "main", "steps": [[loop]]}, leaf("work"), parallelism=500)


class Looking:
    """Somebody who reads streams as fast as they come, and counts what is told."""

    def __init__(self, served: Served, paths: tuple[str, ...]) -> None:
        self.told = 0
        self.rows = 0
        self.bytes = 0
        self._threads = [threading.Thread(target=self._read, args=(served, path), daemon=True) for path in paths]
        for thread in self._threads:
            thread.start()

    def _read(self, served: Served, path: str) -> None:
        import urllib.request

        request = urllib.request.Request(served.url + path, headers={"Accept": "text/event-stream"})
        with urllib.request.urlopen(request) as response:
            for line in response:
                self.bytes += len(line)
                if line.startswith(b"data: "):
                    self.told += 1
                    self.rows += len(json.loads(line[6:])["result"].get("nodes", ()))


def cost(nodes: int, *, looked_at: bool) -> float:
    """Seconds of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes.yaml"
        outcomes.write_text(
            yaml.safe_dump({f"node:loop({each}:{each})": {"duration": 0.5 + each % 97 / 97} for each in range(nodes)})
        )
        served = start(Path(folder) / "served", "--outcomes", str(outcomes), executor="simulated")
        process = psutil.Process(served.process.pid)
        before = sum(process.cpu_times()[:2])
        served.submit(large(nodes))
        looking = Looking(served, STREAMS) if looked_at else None
        phase = ""
        while phase not in ("Succeeded", "Failed", "Error"):
            threading.Event().wait(1.0)
            phase = (
                served.ask("GET", "/api/v1/workflows/default/large?fields=status.phase")
                .json()["status"]
                .get("phase", "")
            )
        assert phase == "Succeeded"
        taken = sum(process.cpu_times()[:2]) - before
        if looking is not None:
            print(f"  told {looking.told} messages with {looking.rows} nodes, {looking.bytes >> 10} KiB")
        end(served)
        return taken


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(given.rounds):
        for looked_at in (False, True):
            taken[looked_at].append(cost(given.nodes, looked_at=looked_at))
            print(f"{'with' if looked_at else 'without'} the page {taken[looked_at][-1]:.2f} s")
    without, with_it = (statistics.median(taken[each]) for each in (False, True))
    print(f"medians: {without:.2f} s without, {with_it:.2f} s with the page, {with_it / without:.3f}")


if __name__ == "__main__":
    main()
