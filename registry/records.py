"""What a registry tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from registry.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Reload:
    """What came of reading the configuration again: plugin names, by what happened to them.

    ``generation`` is the number of the list now in force. With ``error`` set nothing changed.
    """

    generation: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    error: ConfigError | None = None


@dataclass(frozen=True, slots=True)
class RegistryStats:
    """``generation`` counts the lists of plugins so far, ``draining`` those replaced and still leased.

    ``reloads`` and ``rejected`` count the times the configuration was found changed, for better and for worse.
    """

    generation: int
    plugins: int
    draining: int
    reloads: int
    rejected: int
