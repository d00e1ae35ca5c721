"""One of several replicas of a plugin: ``python -m tests.replicas.replica HOST PORT``."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from typing import Any

from rpc.plugin import Plugin

plugin = Plugin("replica")


@plugin.on("workflow.preOperate")
async def mark(args: dict[str, Any]) -> dict[str, Any] | None:
    await asyncio.sleep(random.uniform(0.0, 0.005))
    return None


@plugin.on("node.preExecute")
async def see(args: dict[str, Any]) -> dict[str, Any] | None:
    await asyncio.sleep(random.uniform(0.0, 0.02))
    return None


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    plugin.run(sys.argv[1], int(sys.argv[2]))
