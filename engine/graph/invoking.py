"""What the body of an invocation may ask for besides the graph: that a call be made."""

from __future__ import annotations

from typing import Protocol

from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.model.node import Node


class Invoking(Protocol):
    """Where steps, DAGs, retries and hooks have their calls made: `engine.graph.admission`, which is above them."""

    graph: Graph

    def invoke(self, invocation: Invocation, existing: Node | None) -> None:
        """Make a call: it gets its node, now or when limits allow, and is visited after that."""
        ...
