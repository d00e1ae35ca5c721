"""A process that a driver starts: ``python -m engine.cluster.child PARENT MODULE:CALLABLE ARGUMENTS...``.

Its stdin is a socket to the driver, and it calls the coroutine function with that and the arguments. Only the driver
ends it: Ctrl-C and SIGTERM, which a terminal or a service manager sends to every process, are for the driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import Final

import uvloop

from engine.cluster.hosting import named

_PR_SET_PDEATHSIG: Final = 1


def ignore_signals() -> None:
    """Leave signals to the driver; by a handler, since what is ignored is ignored by our children, too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _die_with(parent: int) -> None:
    """Be killed with the thread that started us, where there is such a thing (Linux), even stopped or stuck. Elsewhere
    the end of the socket says that the driver is gone, and the deadline."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the driver is gone")


def main(parent: int, name: str, *arguments: str) -> None:
    """The whole of the process."""
    ignore_signals()
    _die_with(parent)
    uvloop.run(named(name)(socket.socket(fileno=0), *arguments))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
