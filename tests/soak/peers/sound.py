"""The plugin that makes itself felt, on the SDK: ``python -m tests.soak.peers.sound NAME ADDRESS``.

What it changes can be counted afterwards: whose word was applied twice, or not at all, shows.
"""

from __future__ import annotations

import argparse
import random
from typing import Any
from urllib.parse import urlsplit

from rpc.plugin import Plugin
from tests.soak.peers.parent import exit_with_parent

BEGUN = "soak/begun"
ENDED = "soak/ended"
"""Annotations that count a workflow's committed passes: one is set when a pass begins, one when it ends."""
SEEN = "seen"
NEVER = 1_000_000
"""The total of a progress whose first part counts the visits to a node."""


def first() -> Plugin:
    """It counts passes and visits, tells each workflow its word, and executes `plugin` templates."""
    plugin = Plugin("first")

    @plugin.on("workflow.preOperate")
    def begin(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": counted(args["workflow"], BEGUN)}

    @plugin.on("parameters.add")
    def add(args: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": {"word": word_of(args["workflow"]["metadata"]["name"])}}

    @plugin.on("node.preExecute")
    def visit(args: dict[str, Any]) -> dict[str, Any]:
        return {"node": {"progress": f"{visits(args['node'].get('progress')) + 1}/{NEVER}"}}

    @plugin.on("template.execute")
    def execute(args: dict[str, Any]) -> dict[str, Any]:
        if random.random() < 0.5:
            return {"node": {"phase": "Running"}, "requeue": "200ms"}
        return {"node": {"phase": "Succeeded", "outputs": {"result": word_of(args["workflow"]["metadata"]["name"])}}}

    return plugin


def last() -> Plugin:
    """It counts passes where they end, and marks every node that was fulfilled."""
    plugin = Plugin("last")

    @plugin.on("workflow.postOperate")
    def end(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": counted(args["new"], ENDED)}

    @plugin.on("node.postExecute")
    def mark(args: dict[str, Any]) -> dict[str, Any]:
        new = args["new"]
        if new["phase"] in ("Succeeded", "Failed", "Error"):
            return {"node": {"message": f"{new.get('message', '')} {SEEN}".lstrip()}}
        return {}

    return plugin


def word_of(workflow: str) -> str:
    """What ``{{word}}`` stands for in the templates of a workflow."""
    return f"the word of {workflow}"


def visits(progress: str | None) -> int:
    """How often the node of this progress was visited."""
    return int((progress or "0").partition("/")[0])


def counted(workflow: dict[str, Any], annotation: str) -> dict[str, Any]:
    """The patch that counts one more."""
    count = int((workflow["metadata"].get("annotations") or {}).get(annotation, 0))
    return {"metadata": {"annotations": {annotation: str(count + 1)}}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("first", "last"))
    parser.add_argument("address")
    exit_with_parent()
    arguments = parser.parse_args()
    parts = urlsplit(arguments.address)
    made = {"first": first, "last": last}[arguments.name]()
    if parts.scheme == "unix":
        made.run(unix=parts.path)
    else:
        made.run(parts.hostname, parts.port)
