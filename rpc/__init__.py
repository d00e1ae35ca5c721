"""How to call one plugin, fast and safely; and, in `rpc.plugin`, how to be one."""

from rpc.batches import Announcement, Bundle, Call
from rpc.batching import Outcomes
from rpc.breaker import BreakerPolicy
from rpc.budget import Budget
from rpc.client import Client
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.line import Line, Receiver
from rpc.methods import Method
from rpc.replies import EMPTY, NodeReply, NodeResult, ParametersReply, Reply, WorkflowReply
from rpc.retries import RetryPolicy
from rpc.sizing import BatchPolicy
from rpc.stats import ClientStats, Outcome

__all__ = [
    "EMPTY",
    "Announcement",
    "BatchPolicy",
    "BreakerPolicy",
    "Budget",
    "Bundle",
    "Call",
    "Client",
    "ClientStats",
    "FatalError",
    "Line",
    "Method",
    "NodeReply",
    "NodeResult",
    "NotSent",
    "Outcome",
    "Outcomes",
    "ParametersReply",
    "PluginError",
    "Receiver",
    "Reply",
    "RetryPolicy",
    "TransientError",
    "WorkflowReply",
]
