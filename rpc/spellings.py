"""Which spelling a plugin answers to, and which methods it does not have: learnt from its 404s alone."""

from __future__ import annotations

from typing import Literal

from rpc.methods import SPELLINGS, BatchMethod, Route, Spelling, path


class Spellings:
    """What one generation of a plugin is known to answer. Synchronous; it asks nobody, it only remembers."""

    def __init__(self, protocol: Literal["auto"] | Spelling, prefix: str) -> None:
        self._prefix = prefix
        self._order: tuple[Spelling, ...] = SPELLINGS if protocol == "auto" else (protocol,)
        self.paths: dict[Route, str] = {}
        """The one path of each method that was answered with anything but 404."""
        self.refused: set[Route] = set()
        """The methods that every spelling answered with 404."""
        self.found: dict[Route, Spelling] = {}
        """The spelling of each of `paths`."""

    def candidates(self, method: Route) -> list[tuple[Spelling, str]]:
        """Spelling and path to try for a method not known yet, the likeliest first.

        Of a batch only the likeliest, once the plugin has answered in one: it may well have none, and need not hear of
        it more than once.
        """
        order = self._order[:1] if isinstance(method, BatchMethod) and self.found else self._order
        return [(spelling, self._prefix + path(method, spelling)) for spelling in order]

    def settle(self, method: Route, spelling: Spelling) -> None:
        """The plugin answered `method` in this spelling: other methods are tried in it first."""
        self.paths[method] = self._prefix + path(method, spelling)
        self.found[method] = spelling
        self._order = (spelling, *(other for other in self._order if other != spelling))

    def refuse(self, method: Route) -> None:
        """The plugin does not have `method`."""
        self.refused.add(method)
        self.paths.pop(method, None)
        self.found.pop(method, None)

    def forget(self) -> None:
        """A new generation of the plugin: everything may be different, but its spelling is the best first guess."""
        self.paths.clear()
        self.found.clear()
        self.refused.clear()
