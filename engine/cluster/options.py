"""What a fleet is made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypedDict

from engine.cluster.transport import Transport
from engine.executors.executor import Executor
from engine.reconciling.observing import Observer
from engine.recording.recorder import Recorder
from engine.storage.store import WorkflowStore
from engine.templates.catalog import Documents

SHARDS: Final = 2
DEADLINE: Final = 15.0
"""Seconds after which a shard that does not answer is taken for dead, and ends itself where it is left alone."""

Over = Literal["processes", "ray"]


class FleetOptions(TypedDict, total=False):
    """The options of a `Fleet`, for who passes them on."""

    executor: Executor | None
    shards: int
    over: Over | Transport
    address: str | None
    store: WorkflowStore | None
    workflow_templates: Documents | None
    cluster_workflow_templates: Documents | None
    config_maps: Documents | None
    observer: Observer | None
    recorder: Recorder | None
    clock: Callable[[], float] | None
    workers: int
    max_nodes: int
    max_workflows: int | None
    deadline: float
