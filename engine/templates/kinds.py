"""The kinds of templates, and what is to be known of each: a new one is a row here, and handlers where it needs any.

Handlers, by the kind's name: its body in `engine.graph.visits`, what its leaf does besides in `engine.graph.leaves`,
what Argo looks at in `engine.validation.leaves`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.model.node import CONTAINER, DAG, HTTP, PLUGIN, POD, STEPS, SUSPEND


class Kind(msgspec.Struct, frozen=True):
    """One kind of template. ``name`` is the field that a template of it has, ``node_type`` is the type that its nodes
    have for it (Argo's GetNodeType)."""

    name: str
    node_type: str
    leaf: bool = True
    """Whether its nodes have no children that the engine reconciles."""
    started: bool = True
    """Whether its leaves are an executor's to run, and not a plugin's."""
    files: bool = True
    """Whether it takes and leaves artifacts as files, and may have a `timeout`."""
    mounts: bool = False
    """Whether it is a container, which may mount volumes."""
    result: bool = False
    """Whether it has an `outputs.result` of its own; a container set has that of its container main."""
    exit_code: bool = False
    """Whether it has an exit code, likewise."""
    sources: tuple[str, ...] = ()
    """The fields of `valueFrom` of which one says where an output parameter comes from; any where none is named."""
    called: str = ""
    """What Argo calls it where it says so."""
    late: bool = False
    """Whether its body is filled in only when it is used, and not with the other fields."""
    publishes: bool = True
    """Whether its global outputs are the workflow's when it ends; those of a DAG are when the one around it does."""

    memoized: bool = True
    """Whether what its nodes leave is remembered: a suspend only takes what a cache has (Argo saves what pods, agents,
    steps and DAGs leave)."""

    @property
    def pod(self) -> bool:
        """Whether its nodes are pods, which count against parallelism."""
        return self.node_type == POD


_MADE_UP: Final = ("parameter", "expression")
_PATH: Final = ("path",)

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("container", POD, mounts=True, result=True, exit_code=True, sources=_PATH, called="Container", late=True),
        Kind("script", POD, mounts=True, result=True, exit_code=True, sources=_PATH, called="Script", late=True),
        Kind("containerSet", POD, mounts=True, sources=_PATH, called="ContainerSet"),
        Kind("resource", POD, exit_code=True, sources=("jqFilter", "jsonPath"), called="Resource", late=True),
        Kind("data", POD, result=True, exit_code=True),
        Kind("steps", STEPS, leaf=False, files=False, sources=_MADE_UP, called="Steps", late=True),
        Kind("dag", DAG, leaf=False, files=False, sources=_MADE_UP, called="DAG", late=True, publishes=False),
        Kind("suspend", SUSPEND, files=False, called="Suspend", memoized=False),
        Kind("http", HTTP, result=True),
        Kind("plugin", PLUGIN, result=True, started=False),
    )
}
"""By name, in the order in which Argo names them."""

EXECUTABLE: Final = frozenset({CONTAINER, *(kind.node_type for kind in KINDS.values() if kind.leaf)})
"""The types of nodes that do something themselves; the others sum up what is below them (Argo's progress updater)."""

STARTED: Final = frozenset(kind.node_type for kind in KINDS.values() if kind.leaf and kind.started)
"""The types of nodes that an executor may have been given to start."""


_RESULTS: Final = tuple(name for name, kind in KINDS.items() if kind.result)


def has_main(template: Mapping[str, Any]) -> bool:
    """Whether a container set has the container whose result and exit code are those of the pod."""
    containers = (template.get("containerSet") or {}).get("containers") or ()
    return bool(containers) and any(each.get("name") == "main" for each in containers)


def has_result(template: Mapping[str, Any]) -> bool:
    """Whether what the leaf writes to its standard output is its result (Argo's HasOutput)."""
    return has_main(template) or any(template.get(name) is not None for name in _RESULTS)
