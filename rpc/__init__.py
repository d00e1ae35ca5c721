"""How to call one plugin, fast and safely; and, in `rpc.plugin`, how to be one."""

from rpc.batches import Announcement, Call, CallBatch
from rpc.breaker import BreakerPolicy
from rpc.budget import Budget
from rpc.client import Client
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.methods import Method
from rpc.observing import Request, RequestObserver
from rpc.replies import EMPTY, NodeReply, NodeResult, ParametersReply, Reply, WorkflowReply
from rpc.retries import RetryPolicy
from rpc.sizing import BatchPolicy
from rpc.stats import ClientStats, Outcome
from rpc.window import Outcomes

__all__ = [
    "EMPTY",
    "Announcement",
    "BatchPolicy",
    "BreakerPolicy",
    "Budget",
    "Call",
    "CallBatch",
    "Client",
    "ClientStats",
    "FatalError",
    "Method",
    "NodeReply",
    "NodeResult",
    "NotSent",
    "Outcome",
    "Outcomes",
    "ParametersReply",
    "PluginError",
    "Reply",
    "Request",
    "RequestObserver",
    "RetryPolicy",
    "TransientError",
    "WorkflowReply",
]
