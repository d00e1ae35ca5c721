"""The six methods in their places: which calls a workflow and its nodes need, and what comes of the replies.

How the calls travel is `rpc`'s business.
"""

from engine.hooks.calling import Caller, may_fail
from engine.hooks.journal import Journal
from engine.hooks.memory import Memory, Rooms
from engine.hooks.nodes import LONGEST_WAIT, NodeHooks
from engine.hooks.patience import Patience
from engine.hooks.workflows import WorkflowHooks

__all__ = ["LONGEST_WAIT", "Caller", "Journal", "Memory", "NodeHooks", "Patience", "Rooms", "WorkflowHooks", "may_fail"]
