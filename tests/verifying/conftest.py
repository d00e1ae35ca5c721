"""Servers to be called, of one's own making."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import trustme

from tests.verifying.peers import Answer, response, serving

Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(answer)`` is the address of a server that answers so."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def https(authority: trustme.CA) -> Iterator[str]:
    """The address of a server that answers one request of each connection."""
    with _secure(authority) as address:
        yield address


@pytest.fixture
def guarded(authority: trustme.CA) -> Iterator[str]:
    """Likewise, of one that asks for a certificate of ours."""
    with _secure(authority, asking=True) as address:
        yield address


@contextlib.contextmanager
def _secure(authority: trustme.CA, *, asking: bool = False) -> Iterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    if asking:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(response(200, b"{}"))

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"https://localhost:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
