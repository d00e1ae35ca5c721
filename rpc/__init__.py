"""How to call one plugin, fast and safely; and, in `rpc.plugin`, how to be one."""

from typing import TYPE_CHECKING

from oarlock_guard import clash

if why := clash(__name__, __file__):
    raise ImportError(why)

from rpc.importing import on_demand

if TYPE_CHECKING:
    from rpc.breaker import BreakerPolicy, BreakerState
    from rpc.budget import Budget
    from rpc.client import Client
    from rpc.credentials import Credentials, Secret, Token
    from rpc.errors import FatalError, NotSent, PluginError, TransientError
    from rpc.methods import Method
    from rpc.observing import Request, RequestObserver
    from rpc.retries import RetryPolicy
    from rpc.sizing import BatchPolicy
    from rpc.stats import ClientStats, Latency, Outcome
    from rpc.tls import BadTls, Tls
else:
    _HOMES = {
        "breaker": ("BreakerPolicy", "BreakerState"),
        "budget": ("Budget",),
        "client": ("Client",),
        "credentials": ("Credentials", "Secret", "Token"),
        "errors": ("FatalError", "NotSent", "PluginError", "TransientError"),
        "methods": ("Method",),
        "observing": ("Request", "RequestObserver"),
        "retries": ("RetryPolicy",),
        "sizing": ("BatchPolicy",),
        "stats": ("ClientStats", "Latency", "Outcome"),
        "tls": ("BadTls", "Tls"),
    }
    __getattr__ = on_demand(__name__, _HOMES)


__all__ = [
    "BadTls",
    "BatchPolicy",
    "BreakerPolicy",
    "BreakerState",
    "Budget",
    "Client",
    "ClientStats",
    "Credentials",
    "FatalError",
    "Latency",
    "Method",
    "NotSent",
    "Outcome",
    "PluginError",
    "Request",
    "RequestObserver",
    "RetryPolicy",
    "Secret",
    "Tls",
    "Token",
    "TransientError",
]
