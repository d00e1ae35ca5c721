"""The plugins there are: from a configuration to open clients, kept right while the configuration changes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from registry.config import Config, KubernetesSettings, PluginConfig
from registry.connecting import Route, connect, what_connects
from registry.discovered import Discovered, cluster_of
from registry.discovering import LONGEST_PAUSE, Manifests, follow
from registry.errors import ConfigError
from registry.generations import Generations, Plugin
from registry.loading import load_config
from registry.records import RegistryStats, Reload
from registry.watching import changes
from rpc import BadTls, Budget, Client, RequestObserver
from rpc.destinations import Destinations
from rpc.logs import get_logger

if TYPE_CHECKING:
    from rpc.tracing import Tracing

_PAUSE: Final = 1.0
"""Seconds before the configuration is followed again after something went wrong."""

_log = get_logger(__name__)


def enabled_by(config: Config) -> str | None:
    """What turns plugins on: ``"config"``, ``"ARGO_PLUGINS"``, or None where they are off."""
    if config.engine.enabled:
        return "config"
    return "ARGO_PLUGINS" if os.environ.get("ARGO_PLUGINS") == "true" else None


class Registry:
    """The plugins of a configuration, each with a client of its own; an async context manager that closes them all.

        async with Registry("plugins.toml") as registry:
            with registry.lease() as plugins:
                for plugin in plugins:
                    await plugin.client.call("workflow.preOperate", {"workflow": workflow})

    There are none unless they are enabled, by ``[engine] enabled = true`` or ARGO_PLUGINS=true in the environment.

    Made from a file, it follows that file and all that it names, unless ``watch`` is false. A new configuration is
    checked before anything is swapped: a bad, half-written or missing one leaves all as it was, and is logged. With a
    ``[kubernetes]`` table there are the plugins of a cluster's ConfigMaps, too, from the beginning on; the cluster is
    followed likewise, and what was found stays while it is away. A plugin keeps its client, and all that it learnt,
    unless the way to call it changed; other credentials count for it at once. ``on_reload`` is told what came of each
    change; what it raises is logged, and following goes on. ``observer`` is told of every request. Of what may be
    under way at a plugin, and of the budget for retries, it has the share of one of so many ``processes``. Raises
    `ConfigError` when made, and, where the cluster cannot be asked, when entered.
    """

    def __init__(
        self,
        config: Config | str | PathLike[str],
        *,
        watch: bool = True,
        on_reload: Callable[[Reload], object] | None = None,
        observer: RequestObserver | None = None,
        processes: int = 1,
    ) -> None:
        self._file = None if isinstance(config, Config) else Path(config)
        self._read = self._config = config if isinstance(config, Config) else load_config(config)
        self._watch = watch
        self._discovered = Discovered()
        self._discovering: asyncio.Task[None] | None = None
        self._on_reload = on_reload
        self._observer = observer
        self._tracing: Tracing | None = None
        self._on_secrets: Callable[[tuple[str, ...]], object] | None = None
        self._enabled_by: str | None = ""  # nothing said of it yet
        self._in_force: dict[str, PluginConfig] = {}
        self._clients: dict[Route, Client] = {}
        self._generations = Generations()
        self._processes = processes
        self.budget = Budget(time.monotonic(), 1 / processes)
        """What all plugins' retries are paid from."""
        self.listeners: list[Callable[[Reload], None]] = []
        """Who is told, at once, of each new list of plugins that came into force."""
        self._reloading = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._open = False
        self._reloads = self._rejected = 0
        self._last_error: ConfigError | None = None
        self._expired: set[tuple[str, str]] = set()
        """What was said of plugins whose certificates have expired."""

    async def __aenter__(self) -> Self:
        await self._discovered.find(self._read)
        self._open = True
        await self._put_in_force(self._discovered.added_to(self._read))
        await self._discover()
        if self._watch and self._file is not None:
            self._following = asyncio.create_task(self._follow(), name="registry: follow the configuration")
            await asyncio.sleep(0)  # the watch begins with the task's first step
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop following the configuration and close every client, leased or not. Idempotent."""
        following = [task for task in (self._following, self._discovering) if task is not None]
        self._following = self._discovering = None
        for task in following:
            task.cancel()
        if following:
            await asyncio.wait(following)
        async with self._reloading:
            self._open = False
            self._close(self._generations.clients())
            self._generations, self._clients, self._in_force = Generations(), {}, {}
            await asyncio.gather(*self._closing)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    @property
    def stats(self) -> RegistryStats:
        """The figures at this moment."""
        current = self._generations.current
        return RegistryStats(
            current.number, len(current.plugins), self._generations.draining, self._reloads, self._rejected
        )

    @property
    def observer(self) -> RequestObserver | None:
        """Who is told of every request to a plugin; to be set at any time."""
        return self._observer

    @observer.setter
    def observer(self, observer: RequestObserver | None) -> None:
        self._observer = observer
        for client in self._clients.values():
            client.observer = observer

    def trace(self, tracing: Tracing | None) -> None:
        """Make a span of every request to a plugin; see `rpc.tracers.find_tracing`."""
        self._tracing = tracing
        for client in self._clients.values():
            client.trace(tracing)

    def tell_secrets(self, listener: Callable[[tuple[str, ...]], object]) -> None:
        """Have `listener` told of what nobody else should see, of each plugin, before it is sent."""
        self._on_secrets = listener
        for client in self._clients.values():
            self._tell_secrets(client)

    def _tell_secrets(self, client: Client) -> None:
        client.on_secrets = self._on_secrets
        if self._on_secrets is not None:
            self._on_secrets(client.secrets)

    def snapshot(self) -> tuple[Plugin, ...]:
        """The plugins at this moment, in calling order. To call them take a `lease`: it keeps their clients open."""
        return self._generations.current.plugins

    @contextmanager
    def lease(self) -> Iterator[tuple[Plugin, ...]]:
        """The plugins at this moment; their clients stay open until the end of the ``with``, whatever is reloaded.
        Raises `RuntimeError` where the registry is not entered: that it has no plugins would be wrong."""
        self._check_open()
        generation = self._generations.lease()
        try:
            yield generation.plugins
        finally:
            self._close(self._generations.release(generation))

    async def reload(self) -> Reload:
        """Read the configuration again now, from its file, and put it in force; a bad one changes nothing.

        Where the cluster is not followed it is asked again, too.
        Only news is logged and told: neither an unchanged configuration nor the same fault as last time.
        """
        if self._file is None:
            raise ValueError("this registry was made from a Config: there is no file to read again")
        async with self._reloading:
            self._check_open()
            try:
                config = await asyncio.to_thread(self._load, self._file)
                if not self._watch:
                    await self._discovered.find(config)
            except ConfigError as error:
                record = Reload(self._generations.current.number, error=error)
                last, self._last_error = self._last_error, error
                if str(error) == str(last):
                    return record
                self._rejected += 1
                _log.error("configuration rejected, keeping the old one", error=str(error))
            else:
                self._last_error = None
                self._tell_expired(config)
                if config == self._read and self._discovered.added_to(config) == self._config:
                    return Reload(self._generations.current.number)
                record = await self._take(config)
        self._tell(record)
        return record

    async def replace(self, config: Config) -> Reload:
        """Put another configuration in force: for a registry that was made from a `Config`, and follows no file."""
        if self._file is not None:
            raise ValueError("this registry follows a file: write the configuration there")
        async with self._reloading:
            self._check_open()
            record = await self._take(config)
        self._tell(record)
        return record

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("the registry is not open: use it, or the engine that has it, inside `async with`")

    async def _take(self, config: Config) -> Reload:
        """Put in force what was read, or handed to us, and follow its cluster."""
        record = await self._replace(self._discovered.added_to(config))
        elsewhere = config.kubernetes != self._read.kubernetes
        self._read = config
        if elsewhere:
            await self._discover()
        return record

    def _load(self, file: Path) -> Config:
        """The configuration as it is now. Raises `ConfigError`."""
        try:
            return load_config(file)
        except ConfigError:  # for a certificate, perhaps, that is in force and has expired since
            if all(plugin.tls is None for plugin in self._read.plugins):
                raise
            return load_config(file, self._read)

    def _tell_expired(self, config: Config) -> None:
        """Say once of each plugin that goes on with a certificate which has expired: it may be refused for it."""
        told, self._expired = self._expired, set()
        for plugin in config.plugins:
            try:
                if plugin.tls is not None:
                    plugin.tls.check_dates()
            except BadTls as error:
                self._expired.add((plugin.name, str(error)))
                if (plugin.name, str(error)) not in told:
                    _log.error("certificate has expired", name=plugin.name, problem=str(error))

    async def _replace(self, config: Config) -> Reload:
        record = await self._put_in_force(config)
        self._reloads += 1
        for listener in self.listeners:
            listener(record)
        _log.info("configuration reloaded", generation=record.generation)
        return record

    async def _discover(self) -> None:
        """Follow the ConfigMaps of the cluster that is configured now, and of no other any more."""
        if self._discovering is not None:
            self._discovering.cancel()
            await asyncio.wait([self._discovering])
            self._discovering = None
        if self._read.kubernetes is None:
            self._discovered.manifests = {}
        elif self._watch:
            self._discovering = asyncio.create_task(
                self._follow_cluster(self._read.kubernetes), name="registry: follow the cluster"
            )

    async def _follow_cluster(self, settings: KubernetesSettings) -> None:
        """Goes on whatever fails, likewise."""
        while True:
            try:
                await follow(cluster_of(settings, self._file or "configuration"), self._found)
            except ConfigError as error:
                _log.error("cannot follow the cluster", error=str(error))
                return
            except Exception:
                _log.exception("cannot follow the cluster, trying again", every=f"{LONGEST_PAUSE:g}s")
            await asyncio.sleep(LONGEST_PAUSE)

    async def _found(self, manifests: Manifests) -> None:
        async with self._reloading:
            self._discovered.manifests = manifests
            config = self._discovered.added_to(self._read)
            if not self._open or config == self._config:
                return
            record = await self._replace(config)
        self._tell(record)

    def _tell(self, record: Reload) -> None:
        try:
            if self._on_reload is not None:
                self._on_reload(record)
        except (Exception, asyncio.CancelledError):  # the latter from a future that it asked
            _log.exception("on_reload failed", generation=record.generation)

    def _sources(self) -> tuple[Path, ...]:
        """What to watch: that of what is in force, and of what was refused, which may only lack a file yet."""
        return self._read.sources + (self._last_error.sources if self._last_error is not None else ())

    async def _follow(self) -> None:
        """Goes on whatever fails: a new watch says once that there may be changes, so none is missed meanwhile."""
        last = ""
        while True:
            try:
                async for _ in changes(self._sources):
                    await self.reload()
                    last = ""
            except Exception as error:
                if repr(error) != last:
                    _log.exception("cannot follow the configuration, trying again", every=f"{_PAUSE:g}s")
                last = repr(error)
            await asyncio.sleep(_PAUSE)

    async def _put_in_force(self, config: Config) -> Reload:
        """Open what is new, replace the list in one step, then close what nobody can reach any more."""
        enabled = enabled_by(config)
        if enabled != self._enabled_by:
            self._enabled_by = enabled
            if enabled:
                _log.info("plugins enabled", by=enabled)
            else:
                _log.info("plugins disabled", hint="set enabled = true in [engine], or ARGO_PLUGINS=true")
        before, after = self._in_force, {plugin.name: plugin for plugin in config.plugins if enabled}
        record = Reload(
            self._generations.current.number + 1,
            added=tuple(name for name in after if name not in before),
            changed=tuple(name for name in after if name in before and before[name] != after[name]),
            removed=tuple(name for name in before if name not in after),
        )
        for name in (*record.added, *record.changed):
            _log.info("loading plugin", name=name)
        for name in record.removed:
            _log.info("removing plugin", name=name)
        routes = {name: (what_connects(plugin), config.destinations(plugin)) for name, plugin in after.items()}
        clients = await self._open_clients({routes[name]: plugin for name, plugin in after.items()}, record.changed)
        plugins = tuple(Plugin(plugin, clients[routes[name]]) for name, plugin in after.items())
        self._config, self._in_force, self._clients = config, after, clients
        self._close(self._generations.replace(plugins))
        return record

    async def _connect(self, plugin: PluginConfig, destinations: Destinations) -> Client:
        client = connect(plugin, self.budget, self._observer, destinations, self._processes)
        client.trace(self._tracing)
        self._tell_secrets(client)
        return await client.__aenter__()

    async def _open_clients(
        self, routes: Mapping[Route, PluginConfig], changed: Collection[str]
    ) -> dict[Route, Client]:
        """The client of each plugin, those that there are and new ones; where one cannot be had, no new one stays.

        Those of ``changed`` plugins have the credentials that are in their files by now.
        """
        clients: dict[Route, Client] = {}
        try:
            for route, plugin in routes.items():
                clients[route] = self._clients.get(route) or await self._connect(plugin, route[1])
                if plugin.name in changed:
                    await clients[route].reread(plugin.credentials)
        except BaseException:
            self._close(client for route, client in clients.items() if route not in self._clients)
            raise
        return clients

    def _close(self, clients: Iterable[Client]) -> None:
        """Close in the background, since a pass that ends must not wait for it; `aclose` does."""
        for client in clients:
            task = asyncio.create_task(client.aclose(), name=f"registry: close {client.name}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
