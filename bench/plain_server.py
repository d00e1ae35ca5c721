"""The plugin of the proposal: Python's ``http.server``, HTTP/1.0, one thread, a listen backlog of 5.

It sends no Content-Length and never reads the request's body, so that its close resets the connection. It knows
`node.preExecute` and answers ``{}``. Prints its address once it listens.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer

from rpc.methods import Method


class Handler(BaseHTTPRequestHandler):
    """Answers POST."""

    def do_POST(self) -> None:
        known = self.path == f"/{Method.NODE_PRE_EXECUTE}"
        self.send_response(200 if known else 404)
        self.end_headers()
        if known:
            self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads its log."""


if __name__ == "__main__":
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
