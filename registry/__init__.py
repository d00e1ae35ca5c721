"""Which plugins there are: TOML, ConfigMaps and reload, turned into clients to call."""

from typing import TYPE_CHECKING

from oarlock_guard import clash

if why := clash(__name__, __file__):
    raise ImportError(why)

from rpc.importing import on_demand

if TYPE_CHECKING:
    from registry.config import (
        BatchSettings,
        BreakerSettings,
        Config,
        EngineSettings,
        KubernetesSettings,
        MatchSettings,
        PluginConfig,
        RetrySettings,
        Seconds,
    )
    from registry.errors import ConfigError
    from registry.generations import Plugin
    from registry.loading import load_config
    from registry.records import RegistryStats, Reload
    from registry.registry import Registry
    from rpc.credentials import Token
else:
    _HOMES = {
        "config": (
            "BatchSettings",
            "BreakerSettings",
            "Config",
            "EngineSettings",
            "KubernetesSettings",
            "MatchSettings",
            "PluginConfig",
            "RetrySettings",
            "Seconds",
            "Token",
        ),
        "errors": ("ConfigError",),
        "generations": ("Plugin",),
        "loading": ("load_config",),
        "records": ("RegistryStats", "Reload"),
        "registry": ("Registry",),
    }
    __getattr__ = on_demand(__name__, _HOMES)


__all__ = [
    "BatchSettings",
    "BreakerSettings",
    "Config",
    "ConfigError",
    "EngineSettings",
    "KubernetesSettings",
    "MatchSettings",
    "Plugin",
    "PluginConfig",
    "Registry",
    "RegistryStats",
    "Reload",
    "RetrySettings",
    "Seconds",
    "Token",
    "load_config",
]
