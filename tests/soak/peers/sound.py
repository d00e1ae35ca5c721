"""The plugins that make themselves felt, on the SDK: ``python -m tests.soak.peers.sound NAME METHODS ADDRESS``.

What they change can be counted afterwards: whose word was applied twice, or not at all, shows.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from rpc import Method
from rpc.plugin import Plugin
from tests.soak.peers.parent import exit_with_parent

Arguments = dict[str, Any]
Reply = dict[str, Any]

BEGUN: Final = "soak/begun"
ENDED: Final = "soak/ended"
"""Annotations that count a workflow's committed passes: one is set when a pass begins, one when it ends."""
SEEN: Final = "seen"
NEVER: Final = 1_000_000
"""The total of a progress whose first part counts the visits to a node."""


def begin(args: Arguments) -> Reply:
    return {"workflow": counted(args["workflow"], BEGUN)}


def tell(args: Arguments) -> Reply:
    return {"parameters": {"word": word_of(args["workflow"]["metadata"]["name"])}}


def visit(args: Arguments) -> Reply:
    return {"node": {"progress": f"{visits(args['node'].get('progress')) + 1}/{NEVER}"}}


def execute(args: Arguments) -> Reply:
    if random.random() < 0.5:
        return {"node": {"phase": "Running"}, "requeue": "200ms"}
    return {"node": {"phase": "Succeeded", "outputs": {"result": word_of(args["workflow"]["metadata"]["name"])}}}


def end(args: Arguments) -> Reply:
    return {"workflow": counted(args["new"], ENDED)}


def mark(args: Arguments) -> Reply:
    new = args["new"]
    if new["phase"] in ("Succeeded", "Failed", "Error"):
        return {"node": {"message": f"{new.get('message', '')} {SEEN}".lstrip()}}
    return {}


PLUGINS: Final[dict[str, dict[Method, Callable[[Arguments], Reply]]]] = {
    "first": {
        Method.WORKFLOW_PRE_OPERATE: begin,
        Method.PARAMETERS_ADD: tell,
        Method.NODE_PRE_EXECUTE: visit,
        Method.TEMPLATE_EXECUTE: execute,
    },
    "last": {Method.WORKFLOW_POST_OPERATE: end, Method.NODE_POST_EXECUTE: mark},
}


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
    parser.add_argument("name", choices=PLUGINS)
    parser.add_argument("methods", help="the only ones it has, of those it knows; separated by commas")
    parser.add_argument("address")
    exit_with_parent()
    arguments = parser.parse_args()
    plugin = Plugin(arguments.name)
    for method, handler in PLUGINS[arguments.name].items():
        if method in arguments.methods.split(","):
            plugin.on(method)(handler)
    parts = urlsplit(arguments.address)
    if parts.scheme == "unix":
        plugin.run(unix=parts.path)
    else:
        plugin.run(parts.hostname, parts.port)
