"""What is between the socket's transport and a connection, on a transport that takes no more than it is told to."""

from __future__ import annotations

import contextlib
import ssl
import time
from pathlib import Path
from typing import Any, cast

import trustme

from rpc.lanes.connection import Connection
from rpc.lanes.securing import Handshakes, Secured
from rpc.tls import Tls


class Socket:
    """Takes whatever is written, and says each time that it has no room for more."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.full: Any = None

    def write(self, data: bytes) -> None:
        self.sent += data
        self.full()


class Uploading:
    """A connection, of which only this is of interest."""

    uploading = False

    def connection_made(self, transport: object) -> None:
        pass

    def pause_writing(self) -> None:
        self.uploading = True

    def resume_writing(self) -> None:
        self.uploading = False


async def test_a_request_is_sent_once_the_socket_has_taken_its_last_record(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("plugin.test").configure_cert(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = context.wrap_bio(incoming, outgoing, server_side=True)

    connection, taken = Uploading(), Socket()
    handshakes = Handshakes(Tls(ca_file=tmp_path / "ca.pem"), "plugin.test", time.monotonic)
    secured = Secured(handshakes, cast(Connection, connection), None)
    taken.full = lambda: None
    secured.connection_made(cast(Any, taken))
    while not secured.shaken.done():
        incoming.write(taken.sent)
        taken.sent.clear()
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.do_handshake()
        secured.take(outgoing.read())

    taken.full = secured.pause_writing
    secured.write(bytes(100_000))
    lengths = []
    while connection.uploading:
        lengths.append(len(taken.sent))
        secured.resume_writing()
    assert len(lengths) > 1
    assert len(taken.sent) == lengths[-1] > 100_000
