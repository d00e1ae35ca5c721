"""What all workflows of an engine share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.graph.locks import Locks
from engine.graph.memo import Memos
from engine.graph.nodes import MAX_NODES
from engine.model.statistics import Counts
from engine.plugins import Rooms
from engine.templates.library import Library

Document = Mapping[str, Any]

WORKERS: Final = 128
"""How many nodes of one workflow are being visited at a time; how many calls travel is each plugin's own limit."""


class Surroundings:
    """Templates and ConfigMaps to refer to, locks and memos to contend for."""

    def __init__(
        self,
        library: Library | None = None,
        config_maps: Mapping[str, Document] | None = None,
        workers: int = WORKERS,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self.max_nodes = max_nodes
        self.library = library or Library()
        self.config_maps = config_maps or {}
        self.workers = workers
        self.locks = Locks()
        self.memos = Memos()
        self.rooms = Rooms()
        self.counts = Counts()
