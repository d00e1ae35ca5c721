"""The engine that reconciles Argo-style workflow graphs in memory and calls plugins at each step."""

from engine.engine import Engine, PassResult
from engine.execution import Executor, Result
from engine.manifests import ManifestError, Manifests, load
from engine.node import Node
from engine.operations import OperationError
from engine.outcomes import Outcome, Outcomes
from engine.simulation import PendingExecutor, SimulatedExecutor
from engine.statistics import EngineStats
from engine.workflow import InvalidWorkflow, Workflow

__all__ = [
    "Engine",
    "EngineStats",
    "Executor",
    "InvalidWorkflow",
    "ManifestError",
    "Manifests",
    "Node",
    "OperationError",
    "Outcome",
    "Outcomes",
    "PassResult",
    "PendingExecutor",
    "Result",
    "SimulatedExecutor",
    "Workflow",
    "load",
]
