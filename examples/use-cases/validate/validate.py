"""Refuses workflows whose images are not pinned by a digest."""

from __future__ import annotations

import re
from typing import Any

from rpc.plugin import Plugin

PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")

plugin = Plugin("validate")


def fault(template: dict[str, Any]) -> str:
    """What is wrong with it, empty if nothing is. Images with tags are looked at once these are substituted."""
    containers = [
        template.get("container"),
        template.get("script"),
        *((template.get("containerSet") or {}).get("containers") or ()),
    ]
    containers += [*(template.get("initContainers") or ()), *(template.get("sidecars") or ())]
    images = [str(each.get("image") or "") for each in containers if each]
    loose = [image for image in images if "{{" not in image and not PINNED.search(image)]
    return f"template {template.get('name', '')}: {', '.join(loose)}: expected a digest" if loose else ""


@plugin.on("workflow.preOperate")
def refuse_workflow(args: dict[str, Any]) -> dict[str, Any] | None:
    """What a workflow says itself is known before anything of it starts."""
    faults = filter(None, map(fault, args["workflow"]["spec"].get("templates") or ()))
    message = "; ".join(faults)
    return {"workflow": {"status": {"phase": "Failed", "message": message}}} if message else None


@plugin.on("node.preExecute")
def refuse_node(args: dict[str, Any]) -> dict[str, Any] | None:
    """What a parameter or a WorkflowTemplate brings is known when a node is to start."""
    message = fault(args["template"])
    return {"node": {"phase": "Error", "message": message}} if message else None


if __name__ == "__main__":
    plugin.run(port=4355)
