"""Plugins over TLS that say why they refuse somebody, as those on OpenSSL's own sockets do and asyncio's do not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from tests import threads
from tests.processes import PATIENCE


class SecureServer(ThreadingHTTPServer):
    """Answers ``{}``, or 401 where its ``expected`` headers are not there. ``context`` counts for new connections."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.expected: dict[str, str] = {}
        self.asked = threading.Event()
        self.requests: list[dict[str, str]] = []
        self.connections = 0

    @property
    def address(self) -> str:
        return f"{'https' if self.context is not None else 'http'}://localhost:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In its thread: a handshake takes as long as the client likes."""
        self.connections += 1
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            try:
                request.do_handshake()
            except OSError:
                # What it was told is read before the end, or a reset would take its place.
                with contextlib.suppress(OSError), socket.socket(fileno=request.detach()) as plain:
                    plain.shutdown(socket.SHUT_WR)
                    plain.settimeout(PATIENCE)
                    while plain.recv(4096):
                        pass
                return
        with contextlib.suppress(OSError), request:
            super().finish_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: SecureServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        headers = dict(self.headers)
        self.server.requests.append(headers)
        self.server.asked.set()
        good = all(headers.get(name) == value for name, value in self.server.expected.items())
        reply = b"{}" if good else f"who are you, {headers}?".encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[SecureServer]:
    with threads.serving(SecureServer(context)) as server:
        yield server


def server_context(
    authority: trustme.CA, name: str = "localhost", *, clients: trustme.CA | None = None
) -> ssl.SSLContext:
    """For a plugin of that name, whose callers need a certificate by ``clients``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def write_certificate(
    folder: Path, authority: trustme.CA, name: str = "controller", **options: Any
) -> tuple[Path, Path]:
    """A client's certificate, and its key."""
    issued = authority.issue_cert(common_name=name, **options)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    return certificate, key
