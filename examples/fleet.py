"""A fleet of three shards on Ray, in which workflows are reconciled; their leaves are processes of this program.

python examples/fleet.py --config examples/plugins.toml

Without `--address HOST:PORT`, that of a Ray cluster's control service, it starts a cluster of its own. Whoever kills
shards, as `pkill -KILL -f ray::Actor` does, loses nothing: their workflows go on in the others. `fleet/starts` has a
line for each time that a leaf was started: once, as long as this program lives. The next one goes on with workflows.
"""

import argparse
import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import Commit, Fleet, FleetOptions, Node, Result, SqliteStore, StoreError, TransportError, Workflow, parse
from registry import ConfigError

MANIFEST = """\
kind: Workflow
metadata: {generateName: tide-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: pull, template: leaf, withSequence: {count: "4"}}
    - - {name: rest, template: leaf}
  - name: leaf
    container: {image: any, command: [sh, -c], args: ['echo "$WORKFLOW $NODE" >> starts; sleep 0.2']}
"""


class Processes:
    """An executor: eight leaves at a time. They end with us; examples/controller.py has those that do not."""

    fleet: Fleet

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.room = asyncio.Semaphore(8)
        self.running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        container = template.get("container", {})
        if not container.get("command"):
            return Result("Error", "expected a container with a command")
        command = *container["command"], *container.get("args", ())
        self.running[workflow.uid, node.id] = asyncio.create_task(self.run(workflow, node.id, command))
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        if (task := self.running.pop((workflow.uid, node.id), None)) is not None:
            task.cancel()

    async def run(self, workflow: Workflow, node_id: str, command: tuple[str, ...]) -> None:
        environment = {**os.environ, "WORKFLOW": workflow.uid, "NODE": node_id}
        try:
            async with self.room:
                process = await asyncio.create_subprocess_exec(
                    *command, cwd=self.folder, env=environment, stdout=PIPE, start_new_session=True
                )
                try:
                    output = (await process.communicate())[0].decode(errors="replace").strip()
                finally:
                    if process.returncode is None:
                        os.killpg(process.pid, signal.SIGKILL)
        except OSError as error:
            result = Result("Error", str(error))
        else:
            result = Result("Failed" if process.returncode else "Succeeded", outputs={"result": output})
        del self.running[workflow.uid, node_id]
        self.fleet.report(workflow, node_id, result)


async def run(config: Path | None, folder: Path, address: str | None, count: int) -> None:
    processes = Processes(folder)
    options: FleetOptions = {
        "executor": processes,
        "shards": 3,
        "over": "ray",
        "address": address,
        "store": SqliteStore(folder / "workflows.db"),
    }
    fleet = Fleet(**options) if config is None else Fleet.from_config(config, **options)
    processes.fleet = fleet
    phases = Counter[str]()

    def committed(commit: Commit) -> None:
        if commit.finished:
            phases[commit.workflow.phase] += 1
            print(f"{commit.workflow.key} {commit.workflow.phase}, {len(fleet.workflows)} to go", flush=True)

    fleet.listeners.append(committed)
    async with fleet:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, fleet.drain, 10.0)
        print(f"three shards, and {len(fleet.workflows)} workflows from before", flush=True)
        document = parse(MANIFEST, named="tide").workflows[0].document
        for _ in range(count):
            fleet.submit(Workflow(document))
        await fleet.run()
        print(f"{dict(phases)}, {fleet.stats.leaves_started} leaves started, {len(fleet.workflows)} workflows left")
        print("passes by shard:", {number: stats.passes for number, stats in sorted(fleet.shards.items())})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--config", type=Path)
    arguments.add_argument("--folder", type=Path, default=Path("fleet"))
    arguments.add_argument("--address")
    arguments.add_argument("--workflows", type=int, default=36)
    given = arguments.parse_args()
    given.folder.mkdir(exist_ok=True)
    try:
        asyncio.run(run(given.config, given.folder, given.address, given.workflows))
    except (ConfigError, StoreError, TransportError) as error:
        sys.exit(str(error))
