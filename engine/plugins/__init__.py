"""The methods in their places: which calls a workflow and its nodes need, and what comes of the replies.

How the calls travel is `rpc`'s business.
"""

from engine.plugins.calling import Caller, may_fail
from engine.plugins.jobs import Jobs
from engine.plugins.journal import Journal
from engine.plugins.memory import Memory, Rooms
from engine.plugins.nodes import LONGEST_WAIT, NodeHooks
from engine.plugins.patience import Patience
from engine.plugins.stopping import Stopping
from engine.plugins.workflows import WorkflowHooks

__all__ = [
    "LONGEST_WAIT",
    "Caller",
    "Jobs",
    "Journal",
    "Memory",
    "NodeHooks",
    "Patience",
    "Rooms",
    "Stopping",
    "WorkflowHooks",
    "may_fail",
]
