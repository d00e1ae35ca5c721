"""A controller: it runs the containers of a workflow as processes of this machine, whatever their image.

python examples/controller.py examples/diamond.yaml examples/plugins.toml
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from engine import Engine, Node, Result, Workflow, load


class Processes:
    """An executor: `start` says "it runs", and the engine is told what came of it when the process has ended."""

    engine: Engine

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Task[None]] = {}

    def start(self, workflow: Workflow, template: Any, node: Node) -> None:
        self.running[node.id] = asyncio.create_task(self.execute(workflow, template["container"]["command"], node.id))

    def stop(self, workflow: Workflow, node: Node) -> None:
        if node.id in self.running:
            self.running[node.id].cancel()

    async def execute(self, workflow: Workflow, command: list[str], node_id: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            output, _ = await process.communicate()
            outputs = {"result": output.decode().strip(), "exitCode": str(process.returncode)}
            result = Result("Failed" if process.returncode else "Succeeded", outputs=outputs)
        except OSError as error:
            result = Result("Error", str(error))
        self.engine.report(workflow, node_id, result)


async def main(manifest: str, config: str) -> None:
    workflow = Workflow(load([Path(manifest)]).workflows[0].document)
    processes = Processes()
    async with Engine.from_config(config, executor=processes) as processes.engine:
        await processes.engine.run([workflow])
    for node in workflow.nodes.values():
        print(f"{node.display_name}: {node.phase} {(node.outputs or {}).get('result', '')}".rstrip())


asyncio.run(main(*sys.argv[1:]))
