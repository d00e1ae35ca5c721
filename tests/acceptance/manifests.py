"""Small workflows, put together from templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import Workflow

WHOLE: dict[str, Any] = {
    "metadata": {"name": "work"},
    "spec": {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "p", "value": "1"}]},
        "onExit": "leaf",
        "parallelism": 3,
        "templates": [
            {
                "name": "main",
                "inputs": {"parameters": [{"name": "q", "default": "2"}]},
                "dag": {
                    "tasks": [
                        {"name": "a", "template": "leaf", "withItems": [1, {"k": "v"}]},
                        {"name": "b", "template": "steps", "depends": "a", "when": "1 == 1"},
                        {
                            "name": "c",
                            "template": "wait",
                            "depends": "a.Succeeded || b",
                            "hooks": {"exit": {"template": "leaf"}},
                        },
                    ]
                },
            },
            {"name": "steps", "steps": [[{"name": "x", "template": "leaf", "withSequence": {"count": "2"}}]]},
            {"name": "wait", "suspend": {"duration": "5m"}, "activeDeadlineSeconds": 3600},
            {
                "name": "leaf",
                "container": {"image": "busybox", "command": ["echo", "{{workflow.parameters.p}}"]},
                "outputs": {"parameters": [{"name": "o", "valueFrom": {"path": "/o", "default": "d"}}]},
                "timeout": "1h",
                "retryStrategy": {"limit": "2", "backoff": {"duration": "1s", "factor": 2}},
            },
        ],
    },
}
"""A workflow with something of everything."""


def same(work: Workflow) -> Workflow:
    """The workflow with a uid that is always the same, as after a restart."""
    document = work.to_dict()
    return Workflow({**document, "metadata": {**document["metadata"], "uid": "the-same"}})


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    """A template that runs a container."""
    return {"name": name, "container": {"image": "busybox", "command": list(command or ("true",))}, **fields}


def workflow(*templates: Mapping[str, Any], name: str = "work", **spec: Any) -> Workflow:
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
