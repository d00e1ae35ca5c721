"""Which plugins there are: TOML, ConfigMaps and reload, turned into clients to call."""

from registry.checking import find_unreachable
from registry.config import BreakerSettings, Config, EngineSettings, PluginConfig, RetrySettings, Seconds, Token
from registry.errors import ConfigError
from registry.generations import Plugin
from registry.loading import load_config
from registry.registry import Registry, RegistryStats, Reload, connect

__all__ = [
    "BreakerSettings",
    "Config",
    "ConfigError",
    "EngineSettings",
    "Plugin",
    "PluginConfig",
    "Registry",
    "RegistryStats",
    "Reload",
    "RetrySettings",
    "Seconds",
    "Token",
    "connect",
    "find_unreachable",
    "load_config",
]
