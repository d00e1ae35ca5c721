"""SIGTERM and Ctrl-C: the first one lets what is under way end, the second does not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.reconciler import Reconciler
from rpc.logs import get_logger

GRACE: Final = 10.0
"""Seconds that the passes under way have after the first signal; a Kubernetes pod has 30 in all."""

_log = get_logger(__name__)


@contextmanager
def draining(engine: Reconciler, hurry: Callable[[], None] = lambda: None) -> Iterator[list[signal.Signals]]:
    """Within this block SIGTERM and SIGINT drain the engine instead of ending the process; yields those that came.

    ``hurry`` is called where there is a second one, for whoever has more to end than the engine. What came was taken
    note of, and the process is to end in order: behind the block another SIGTERM does not cut that off any more.
    """
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def drain(number: signal.Signals) -> None:
        received.append(number)
        grace = GRACE if len(received) == 1 else 0.0
        _log.warning("stopping", signal=number.name, grace=f"{grace:g}s")
        engine.drain(grace)
        if len(received) > 1:
            hurry()

    for number in before:
        loop.add_signal_handler(number, drain, number)
    try:
        yield received
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            ignored = number is signal.SIGTERM and number in received
            signal.signal(number, signal.SIG_IGN if ignored else handler)
