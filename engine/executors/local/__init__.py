"""Leaves as processes of this machine: no image, no cluster, and no sandbox either."""

from engine.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
