"""The engine that reconciles Argo-style workflow graphs in memory and calls plugins at each step."""

from typing import TYPE_CHECKING

from oarlock_guard import clash

if why := clash(__name__, __file__):
    raise ImportError(why)

from rpc.importing import on_demand

if TYPE_CHECKING:
    from engine.cluster.fleet import Fleet
    from engine.cluster.options import FleetOptions
    from engine.cluster.transport import TransportError
    from engine.engine import Engine, EngineOptions
    from engine.executors.executor import Executor, Result
    from engine.executors.local import LocalExecutor
    from engine.executors.outcomes import Outcome, Outcomes
    from engine.executors.simulated import PendingExecutor, SimulatedExecutor
    from engine.manifests import ManifestError, Manifests, load, parse
    from engine.model.node import Node
    from engine.model.statistics import EngineHealth, EngineStats
    from engine.model.workflow import InvalidWorkflow, Workflow
    from engine.operations.errors import (
        AlreadySubmitted,
        Draining,
        LeafEnded,
        NotFinished,
        OperationError,
        TooManyWorkflows,
        UnknownLeaf,
        UnknownWorkflow,
    )
    from engine.reconciling.handle import WorkflowHandle
    from engine.reconciling.observing import Observer, PassEnd
    from engine.reconciling.results import Commit, DeadlinePassed, PassResult
    from engine.recording.format import RecordError
    from engine.recording.recorder import PassTold, Recorder, Told
    from engine.storage.memory import MemoryStore
    from engine.storage.sqlite import SqliteStore
    from engine.storage.store import Store, StoreError
    from engine.templates.catalog import InvalidDocument, Templates
else:
    _HOMES = {
        "cluster.fleet": ("Fleet",),
        "cluster.options": ("FleetOptions",),
        "cluster.transport": ("TransportError",),
        "engine": ("Engine", "EngineOptions"),
        "executors.executor": ("Executor", "Result"),
        "executors.outcomes": ("Outcome", "Outcomes"),
        "executors.local": ("LocalExecutor",),
        "executors.simulated": ("PendingExecutor", "SimulatedExecutor"),
        "manifests": ("ManifestError", "Manifests", "load", "parse"),
        "model.node": ("Node",),
        "model.statistics": ("EngineHealth", "EngineStats"),
        "model.workflow": ("InvalidWorkflow", "Workflow"),
        "operations.errors": (
            "AlreadySubmitted",
            "Draining",
            "LeafEnded",
            "NotFinished",
            "OperationError",
            "TooManyWorkflows",
            "UnknownLeaf",
            "UnknownWorkflow",
        ),
        "reconciling.handle": ("WorkflowHandle",),
        "reconciling.observing": ("Observer", "PassEnd"),
        "reconciling.results": ("Commit", "DeadlinePassed", "PassResult"),
        "recording.format": ("RecordError",),
        "recording.recorder": ("PassTold", "Recorder", "Told"),
        "storage.memory": ("MemoryStore",),
        "storage.sqlite": ("SqliteStore",),
        "storage.store": ("Store", "StoreError"),
        "templates.catalog": ("InvalidDocument", "Templates"),
    }
    __getattr__ = on_demand(__name__, _HOMES)


__all__ = [
    "AlreadySubmitted",
    "Commit",
    "DeadlinePassed",
    "Draining",
    "Engine",
    "EngineHealth",
    "EngineOptions",
    "EngineStats",
    "Executor",
    "Fleet",
    "FleetOptions",
    "InvalidDocument",
    "InvalidWorkflow",
    "LeafEnded",
    "LocalExecutor",
    "ManifestError",
    "Manifests",
    "MemoryStore",
    "Node",
    "NotFinished",
    "Observer",
    "OperationError",
    "Outcome",
    "Outcomes",
    "PassEnd",
    "PassResult",
    "PassTold",
    "PendingExecutor",
    "RecordError",
    "Recorder",
    "Result",
    "SimulatedExecutor",
    "SqliteStore",
    "Store",
    "StoreError",
    "Templates",
    "Told",
    "TooManyWorkflows",
    "TransportError",
    "UnknownLeaf",
    "UnknownWorkflow",
    "Workflow",
    "WorkflowHandle",
    "load",
    "parse",
]
