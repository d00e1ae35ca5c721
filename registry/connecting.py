"""From what is configured of a plugin to a client for it."""

from __future__ import annotations

import msgspec

from registry.config import PluginConfig
from rpc import BatchPolicy, BreakerPolicy, Budget, Client, RequestObserver, RetryPolicy
from rpc.destinations import ANYWHERE, Destinations

Route = tuple[PluginConfig, Destinations]
"""What a client is made for: `what_connects`, and where that may lead."""


def connect(
    config: PluginConfig,
    budget: Budget | None = None,
    observer: RequestObserver | None = None,
    destinations: Destinations = ANYWHERE,
    processes: int = 1,
) -> Client:
    """A client for one plugin, to be opened with ``async with``. ``budget``: what its retries share with others'.

    It is one of those that so many ``processes`` have, and a number of requests that may be under way is theirs.
    """
    concurrency = config.concurrency
    return Client(
        config.address,
        name=config.name,
        lane=config.lane,
        protocol=config.protocol,
        balance=config.balance,
        timeout=config.timeout,
        concurrency=max(concurrency // processes, 1) if isinstance(concurrency, int) else concurrency,
        token=config.token,
        headers=config.headers,
        tls=config.tls,
        max_body=config.max_body,
        not_found_ttl=config.not_found_ttl,
        retry=RetryPolicy(**msgspec.structs.asdict(config.retry)),
        breaker=BreakerPolicy(**msgspec.structs.asdict(config.breaker)),
        batch=BatchPolicy(**msgspec.structs.asdict(config.batch)),
        budget=budget,
        observer=observer,
        destinations=destinations,
    )


def what_connects(plugin: PluginConfig) -> PluginConfig:
    """What of `plugin` its client depends on: all but what is for the engine, and what a client can be told anew."""
    return msgspec.structs.replace(
        plugin,
        token=None,
        headers=None,
        tls=None,
        failure_policy="abort",
        mode="apply",
        payload="metadata",
        cache="auto",
        cache_ttl=None,
        match=None,
    )
