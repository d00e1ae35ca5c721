"""How to call one plugin, fast and safely; and, in `rpc.plugin`, how to be one."""

from oarlock_guard import clash

if why := clash(__name__, __file__):
    raise ImportError(why)

from rpc.breaker import BreakerPolicy, BreakerState
from rpc.budget import Budget
from rpc.client import Client
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.methods import Method
from rpc.observing import Request, RequestObserver
from rpc.retries import RetryPolicy
from rpc.sizing import BatchPolicy
from rpc.stats import ClientStats, Latency, Outcome

__all__ = [
    "BatchPolicy",
    "BreakerPolicy",
    "BreakerState",
    "Budget",
    "Client",
    "ClientStats",
    "FatalError",
    "Latency",
    "Method",
    "NotSent",
    "Outcome",
    "PluginError",
    "Request",
    "RequestObserver",
    "RetryPolicy",
    "TransientError",
]
