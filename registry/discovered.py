"""Plugins of a cluster's ConfigMaps, beside those of the configuration's files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec

from registry.config import Config, KubernetesSettings, PluginConfig, show
from registry.configmaps import is_labelled, plugin_of
from registry.discovering import Cluster, ClusterError, Manifests
from registry.errors import ConfigError
from rpc.logs import get_logger

_log = get_logger(__name__)


def cluster_of(settings: KubernetesSettings, file: Path | str) -> Cluster:
    """Where to look for ConfigMaps. Raises `ConfigError` where what that needs is not installed."""
    if importlib.util.find_spec("kubernetes_asyncio") is None:
        raise ConfigError(file, "kubernetes", "kubernetes-asyncio is not installed: pip install 'oarlock[kubernetes]'")
    from registry.kubernetes import ConfigMaps  # it takes longer to import than all of ours

    return ConfigMaps(settings)


class Discovered:
    """What was found last. One that cannot be a plugin is named in the log, once for each of its faults."""

    def __init__(self) -> None:
        self.manifests: Manifests = {}
        self._faults: dict[str, str] = {}

    async def find(self, config: Config) -> None:
        """Look, if the configuration says where to. Raises `ConfigError`."""
        if config.kubernetes is None:
            return
        file = config.sources[0] if config.sources else "configuration"
        try:
            async with cluster_of(config.kubernetes, file).session() as session:
                self.manifests = (await session.list()).manifests
        except ClusterError as error:
            raise ConfigError(file, "kubernetes", str(error)) from None

    def added_to(self, config: Config) -> Config:
        """`config` and the plugins that were found, by name; where both have one of a name, it is that of `config`."""
        if config.kubernetes is None:
            return config
        taken = {plugin.name for plugin in config.plugins}
        found: list[PluginConfig] = []
        faults: dict[str, str] = {}
        for name, manifest in sorted(self.manifests.items()):
            if not is_labelled(manifest):  # we ask for no others
                continue
            file = Path(f"configmap {config.kubernetes.namespace}/{name}")
            try:
                if name in taken:
                    raise ConfigError(file, "metadata.name", f"expected a name of its own, {show(name)} is taken")
                found.append(plugin_of(manifest, file, "", config.engine.allowed_addresses))
            except ConfigError as error:
                faults[name] = str(error)
                if self._faults.get(name) != str(error):
                    _log.error("configmap rejected", error=str(error))
        self._faults = faults
        return msgspec.structs.replace(
            config,
            plugins=(*config.plugins, *found),
            discovered=config.discovered | {plugin.name for plugin in found},
        )
