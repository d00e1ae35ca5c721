"""Small workflows, put together from templates."""

from __future__ import annotations

from typing import Any

from engine import Workflow


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    """A template that runs a container."""
    return {"name": name, "container": {"image": "busybox", "command": list(command or ("true",))}, **fields}


def workflow(*templates: dict[str, Any], name: str = "work", **spec: Any) -> Workflow:
    """A workflow that begins with the first of `templates`."""
    return Workflow(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": name},
            "spec": {"entrypoint": templates[0]["name"], "templates": list(templates), **spec},
        }
    )


def steps(*names: str, template: str = "leaf", name: str = "main") -> dict[str, Any]:
    """A template of steps, one after the other."""
    return {"name": name, "steps": [[{"name": each, "template": template}] for each in names]}


def loop(count: int, template: str = "leaf", name: str = "main") -> dict[str, Any]:
    """A template of one step, `count` times over in parallel."""
    return {"name": name, "steps": [[{"name": "each", "template": template, "withSequence": {"count": str(count)}}]]}


def by_name(workflow: Workflow) -> dict[str, Any]:
    """The nodes by display name."""
    return {node.display_name: node for node in workflow.nodes.values()}
