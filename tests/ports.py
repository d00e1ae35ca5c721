"""Ports of this machine that a test may rely on, while others beside it take theirs and leave them."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_FREE: Final = range(15_000, 32_000)
"""Below those that the system gives to whoever asks for any, or for its own end of a connection."""

_LOTS: Final = random.SystemRandom()
"""Not `random`, whose numbers are the same again in two runs of one seed beside each other."""

_SHARES: Final = 16
"""In which ports are divided among the processes that run tests, so that nobody takes one that another has found."""
_SHARE: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES


@contextmanager
def closed() -> Iterator[int]:
    """One on which nobody listens, nor does anybody else meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def free(count: int = 1, among: range = _FREE) -> list[int]:
    """So many on which one may listen, also again and again."""
    ports: list[int] = []
    for port in _LOTS.sample(among[_SHARE::_SHARES], 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError("no free ports")
