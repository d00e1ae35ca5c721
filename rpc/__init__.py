"""How to call one plugin, fast and safely; and, in `rpc.plugin`, how to be one."""

from rpc.client import Client
from rpc.errors import FatalError, PluginError, TransientError
from rpc.methods import Method
from rpc.replies import EMPTY, NodeReply, NodeResult, ParametersReply, Reply, WorkflowReply

__all__ = [
    "EMPTY",
    "Client",
    "FatalError",
    "Method",
    "NodeReply",
    "NodeResult",
    "ParametersReply",
    "PluginError",
    "Reply",
    "TransientError",
    "WorkflowReply",
]
