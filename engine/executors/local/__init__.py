"""Leaves as processes of this machine: no image, no cluster, and no sandbox either."""

from engine.executors.local.executor import PARALLEL_LEAVES, LocalExecutor

__all__ = ["PARALLEL_LEAVES", "LocalExecutor"]
