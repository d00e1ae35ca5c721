"""A shard where it runs, whatever carries its mail: it is made of its settings, and ends when it is left alone."""

from __future__ import annotations

import gc
import importlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from engine.cluster.transport import Gone, Served
from rpc.logs import get_logger
from rpc.statuses import in_one_line

OVERDUE: Final = 75
"""The exit code of a shard that ended itself since no exchange came (EX_TEMPFAIL of sysexits.h)."""

_log = get_logger(__name__)


def named(name: str) -> Any:
    """What ``"module:attribute"`` names. Raises what importing it does, and `AttributeError`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    kind, said = type(error).__name__, str(error)
    return in_one_line(said if isinstance(error, Gone) else f"{kind}: {said}" if said else kind)


YOUNG: Final = 5_000
"""Objects that may become more before the garbage collector looks for those that nobody has: a small workflow comes and
goes with hundreds, of which few are left to it."""


class Hosted:
    """The shard of this process, which the factory makes of its settings: an async context manager; whose deadline is
    kept from there on."""

    def __init__(self, factory: str, settings: bytes, place: str) -> None:
        self._factory = factory
        self._settings = settings
        self.place = place
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        make: Callable[[bytes], Served] = named(self._factory)
        self._shard = await self._stack.enter_async_context(make(self._settings))
        self._deadline = Deadline(self._shard.deadline)
        gc.freeze()  # what is here for good need not be gone through
        gc.set_threshold(YOUNG)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def exchange(self, mail: bytes) -> bytes:
        """What the shard answers. Raises what it does, which is the end of it."""
        self._deadline.heard()
        try:
            return await self._shard.exchange(mail)
        except Exception:
            _log.exception("shard failed")
            raise


class Deadline:
    """Ends this process once no exchange has come for so many seconds.

    A thread keeps it, so that it is kept where the event loop is stuck, and nothing is logged, since a log can be what
    it is stuck in. A process that was stopped for longer ends as it goes on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.heard()
        threading.Thread(target=self._keep, name="shard-deadline", daemon=True).start()

    def heard(self) -> None:
        """An exchange has come."""
        self._at = time.monotonic() + self._seconds

    def _keep(self) -> None:
        while (left := self._at - time.monotonic()) > 0:
            time.sleep(left)
        os._exit(OVERDUE)
