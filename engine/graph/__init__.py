"""The graph of one workflow, as a synchronous state machine.

`Graph` holds what a walk needs to go on from where it stood: which nodes are unfinished, who waits for whom, what the
variables are. All of it follows from the document and its nodes, so it can be thrown away and built again; that is
what an aborted pass does. Nothing here awaits: a pass asks `Visits` for the nodes to visit, visits them, and says so.
"""

from engine.graph.graph import Graph
from engine.graph.invocation import Invocation

__all__ = ["Graph", "Invocation"]
