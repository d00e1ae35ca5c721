"""Credentials that change: when a call that was refused is worth being sent again.

A plugin and the files that we read may be changed together, but are never changed at once. So who is refused looks
whether there is something else in the files by now, for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rpc.credentials import Credentials
from rpc.errors import PluginError
from rpc.logs import get_logger
from rpc.stats import Outcome

REFUSALS: Final = frozenset({401, 403})
WAIT: Final = 1.0
"""Seconds for which other credentials are waited for."""
QUIET: Final = 5.0
"""Seconds after a wait in vain in which there is none: a plugin that forbids many a call would hold up all others."""
_PERIOD: Final = 0.05
"""Seconds between two looks at the files, whoever looks."""

_log = get_logger(__name__)


def is_refusal(error: PluginError) -> bool:
    """Whether other credentials may help."""
    return error.status in REFUSALS or error.outcome is Outcome.UNTRUSTED


class Renewal:
    """Of one client's credentials.

    ``current`` gives those in force, ``put`` is told of others that are in the files, and puts them in force.
    """

    def __init__(
        self,
        current: Callable[[], Credentials],
        put: Callable[[Credentials], None],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._current = current
        self._put = put
        self._clock = clock
        self._sleep = sleep
        self._changed_at = float("-inf")
        self._looked_at = float("-inf")
        self._quiet_until = float("-inf")
        self._looking = asyncio.Lock()

    def changed(self) -> None:
        """Other credentials are in force from now on."""
        self._changed_at = self._clock()
        self._quiet_until = float("-inf")

    @property
    def possible(self) -> bool:
        """Whether there may ever be others."""
        return bool(self._current().files) or self._changed_at > float("-inf")

    async def since(self, sent: float) -> bool:
        """Whether other credentials are in force than when a refused request was `sent`; they are waited for."""
        end = self._clock() + WAIT
        while self._changed_at < sent:
            if not self._current().files:
                return False
            await self._look()
            now = self._clock()
            if self._changed_at >= sent:
                break
            if now < self._quiet_until:
                return False
            if now >= end:
                self._quiet_until = now + QUIET
                return False
            await self._sleep(_PERIOD)
        return True

    async def read(self, credentials: Credentials) -> None:
        """Put these in force, as they are in their files by now.

        Whoever reads does so in turn: what was read first, and took longer, must not replace what was read last.
        """
        async with self._looking:
            try:
                self._put(await asyncio.to_thread(credentials.again))
            except ValueError:  # they are being replaced again, which will be told
                self._put(credentials)

    async def _look(self) -> None:
        async with self._looking:
            if self._clock() < self._looked_at + _PERIOD:
                return
            try:
                self._put(await asyncio.to_thread(self._current().again))
            except ValueError as error:  # half of it is there, perhaps
                _log.debug("credentials cannot be read again", error=str(error))
            self._looked_at = self._clock()
