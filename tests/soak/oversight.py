"""Whatever nobody handles: exceptions, warnings, errors in the log. All of it breaks a promise."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from registry.logs import OURS
from rpc.logs import Event
from tests.soak.ledger import Ledger, Promise

_EXPECTED: Final = frozenset({"configuration rejected, keeping the old one"})
"""Errors that are to be logged here."""


@contextmanager
def overseen(ledger: Ledger, said: Counter[str]) -> Iterator[None]:
    """Within this block the ledger is told of what goes unhandled; `said` counts what is logged, by its message.

    To be entered inside the running loop.
    """

    def broken(text: str) -> None:
        ledger.expect(Promise.HANDLED, False, text)

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ours = isinstance(record.msg, Event)
            message = record.msg.text if isinstance(record.msg, Event) else record.getMessage()
            said[message] += 1
            ledger.tested[Promise.HANDLED] += 1
            if record.levelno >= (logging.ERROR if ours else logging.WARNING) and message not in _EXPECTED:
                broken(f"{record.name}: {self.format(record)}")

    def unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        broken(f"{context}\n{''.join(traceback.format_exception(error)) if error else ''}")

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        broken(f"{filename}:{lineno}: {category.__name__}: {message}")

    heard, loop = Heard(), asyncio.get_running_loop()
    unraisable, thread = sys.unraisablehook, threading.excepthook
    logging.getLogger().addHandler(heard)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    loop.set_exception_handler(unhandled)
    sys.unraisablehook = lambda args: broken(f"{args.err_msg}: {args.exc_value!r} in {args.object!r}")
    threading.excepthook = lambda args: broken(f"{args.exc_value!r} in {args.thread}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = warned
            yield
    finally:
        sys.unraisablehook, threading.excepthook = unraisable, thread
        loop.set_exception_handler(None)
        logging.getLogger().removeHandler(heard)
