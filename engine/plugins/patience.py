"""How long a pass waits for plugins in all."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """An async context manager that ends with a `TimeoutError` when plugins took longer than `seconds`.

    Time counts from the first question that is put to a plugin, and not while the engine itself is at work (`rest`).
    So what is made anew after an aborted pass, and what had been answered by then, cost nothing of it: each pass comes
    further than the one before, if only one question can be answered in that time. None is for ever.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._left = seconds
        self._since: float | None = None
        self._timeout = asyncio.Timeout(None) if seconds is not None else None
        self.awaited = ""
        """The plugin that was asked last."""

    async def __aenter__(self) -> Self:
        if self._timeout is not None:
            await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._since = None
        if self._timeout is not None:
            await self._timeout.__aexit__(kind, error, trace)

    @property
    def asked(self) -> str:
        """The plugin that is being asked now, if any is."""
        return self.awaited if self._since is not None else ""

    def ask(self, plugin: str) -> None:
        """A question is put to a plugin."""
        self.awaited = plugin
        if self._timeout is None or self._left is None or self._timeout.expired():
            return
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
            self._timeout.reschedule(self._since + self._left)

    def rest(self) -> None:
        """Nobody is being asked any more, for now."""
        if self._timeout is None or self._left is None or self._timeout.expired():
            return
        if self._since is not None:
            self._left = max(self._left - (asyncio.get_running_loop().time() - self._since), 0.0)
            self._since = None
            self._timeout.reschedule(None)
