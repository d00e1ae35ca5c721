"""The proposal's own kind of plugin, Python's ``http.server``: ``python -m tests.soak.peers.plain ADDRESS``.

HTTP/1.0, one thread, a backlog of 5, no Content-Length, and it closes without having read the request.
"""

from __future__ import annotations

import argparse
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

from tests.soak.peers.parent import exit_with_parent


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200 if self.path == "/node.preExecute" else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up is no error, and nothing else happens."""
        if not isinstance(sys.exception(), ConnectionError):
            raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    exit_with_parent()
    parts = urlsplit(parser.parse_args().address)
    assert parts.hostname is not None
    assert parts.port is not None
    Server((parts.hostname, parts.port), Handler).serve_forever()
