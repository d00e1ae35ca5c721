"""Which spelling a plugin answers to, and which methods it does not have: learnt from its 404s alone."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, Literal

import msgspec

from rpc.methods import BATCHES, SPELLINGS, BatchMethod, Method, Route, Spelling, path

NOT_FOUND_TTL: Final = 60.0
"""Seconds for which a 404 is believed, unless a plugin is given its own."""

_LONGEST: Final = 16 * 1024
"""Bytes of a 404's body in which methods are looked for: all of their names take 300."""

_ROUTES: Final[dict[str, Route]] = {str(route): route for route in (*Method, *BATCHES.values())}


class NotFound(msgspec.Struct):
    """What a 404 may say: the methods that there are, batches by their own names. Any body will do."""

    message: str = ""
    methods: list[str] = []


_decode: Final = msgspec.json.Decoder(NotFound).decode


class Spellings:
    """What one generation of a plugin is known to answer. Synchronous; it asks nobody, it only remembers.

    A 404 is believed for ``not_found_ttl`` seconds: a plugin may be replaced with no moment in which nobody answers.
    """

    def __init__(
        self,
        protocol: Literal["auto"] | Spelling,
        prefix: str,
        not_found_ttl: float = NOT_FOUND_TTL,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._prefix = prefix
        self._order: tuple[Spelling, ...] = SPELLINGS if protocol == "auto" else (protocol,)
        self._ttl = not_found_ttl
        self._clock = clock
        self.paths: dict[Route, str] = {}
        """The one path of each method that was answered with anything but 404."""
        self._refused: dict[Route, float] = {}
        """The methods that every spelling answered with 404, and until when that is believed."""
        self.found: dict[Route, Spelling] = {}
        """The spelling of each of `paths`."""

    def refuses(self, method: Route) -> bool:
        """Whether the plugin does not have `method`, as far as that is known."""
        until = self._refused.get(method)
        return until is not None and self._clock() < until

    def in_doubt(self, method: Route) -> bool:
        """Whether the plugin did not have `method`, but so long ago that it may have it by now."""
        until = self._refused.get(method)
        return until is not None and self._clock() >= until

    def candidates(self, method: Route) -> list[tuple[Spelling, str]]:
        """Spelling and path to try for a method not known yet, the likeliest first.

        Of a batch only the likeliest, once the plugin has answered in one: it may well have none, and need not hear of
        it more than once.
        """
        order = self._order[:1] if isinstance(method, BatchMethod) and self.found else self._order
        return [(spelling, self._prefix + path(method, spelling)) for spelling in order]

    def settle(self, method: Route, spelling: Spelling) -> bool:
        """The plugin answered `method` in this spelling: other methods are tried in it first.

        Returns whether it did not have it before, and so is another plugin now.
        """
        self.paths[method] = self._prefix + path(method, spelling)
        self.found[method] = spelling
        self._order = (spelling, *(other for other in self._order if other != spelling))
        return self._refused.pop(method, None) is not None

    def refuse(self, method: Route) -> None:
        """The plugin does not have `method`."""
        self._refused[method] = self._clock() + self._ttl
        self.paths.pop(method, None)
        self.found.pop(method, None)

    def not_found(self, body: bytes) -> None:
        """The body of a 404, which may name the methods that there are, batches by their own names.

        All others are refused then, but for those that were answered. What names none is anybody's 404.
        """
        if len(body) > _LONGEST or not body.startswith(b"{"):
            return
        try:
            names = set(_decode(body).methods)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if names.isdisjoint(_ROUTES):
            return
        for name, route in _ROUTES.items():
            if name not in names and route not in self.paths:
                self.refuse(route)

    def forget(self) -> None:
        """A new generation of the plugin: everything may be different, but its spelling is the best first guess."""
        self.paths.clear()
        self.found.clear()
        self._refused.clear()
