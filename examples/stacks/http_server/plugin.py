"""Python's standard library: `python examples/stacks/http_server/plugin.py`."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def pre_execute(args: dict[str, Any]) -> dict[str, Any]:
    return {"node": {"message": f"seen {args['node']['displayName']}"}}


def add_parameters(args: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": {"hello": "good morning"}}


METHODS = {"/node.preExecute": pre_execute, "/parameters.add": add_parameters}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = METHODS.get(self.path)
        status, reply = (200, method(json.loads(body))) if method else (404, {})
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, *about: object) -> None:
        """Not every request."""


with ThreadingHTTPServer(("localhost", 4355), Handler) as server:
    server.serve_forever()
