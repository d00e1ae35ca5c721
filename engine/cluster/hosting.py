"""A shard where it runs, whatever carries its mail: it is made from its settings, and ends when it is left alone."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final, cast

from engine.cluster.transport import Served
from rpc.statuses import in_one_line

OVERDUE: Final = 75
"""The exit code of a shard that ended itself since no exchange came (EX_TEMPFAIL of sysexits.h)."""


def made(factory: str, settings: bytes) -> Served:
    """The shard that ``"module:callable"`` makes of its settings. Raises what that raises."""
    module, _, name = factory.partition(":")
    make: Callable[[bytes], Served] = getattr(importlib.import_module(module), name)
    return make(settings)


def reason(error: BaseException) -> str:
    """Why a shard failed, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseException, error.exceptions[0])
    said = str(error)
    return in_one_line(f"{type(error).__name__}: {said}" if said else type(error).__name__)


class Deadline:
    """Ends this process once no exchange has come for so many seconds.

    A thread keeps it, so that it is kept where the event loop is stuck, and nothing is logged, since a log can be what
    it is stuck in. A process that was stopped for longer ends as it goes on.
    """

    def __init__(self, seconds: float, end: Callable[[int], object] = os._exit) -> None:
        self._seconds = seconds
        self._end = end
        self.heard()
        threading.Thread(target=self._keep, name="shard-deadline", daemon=True).start()

    def heard(self) -> None:
        """An exchange has come."""
        self._at = time.monotonic() + self._seconds

    def _keep(self) -> None:
        while (left := self._at - time.monotonic()) > 0:
            time.sleep(left)
        self._end(OVERDUE)
