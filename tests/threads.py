"""Servers of Python's own in a thread of the test's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

_S = TypeVar("_S", bound=BaseServer)


@contextmanager
def serving(server: _S) -> Iterator[_S]:
    """The server, while it serves; it is closed at the end."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
