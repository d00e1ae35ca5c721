"""Answers for nodes whose results are known from earlier runs, with nothing but http.server: see cache.py."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cache_store

METHODS = {
    "/node.preExecute": cache_store.look_up,
    "/node.postExecute": cache_store.keep,
    "/workflow.postOperate": cache_store.let_go,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = METHODS.get(self.path)
        reply = json.dumps(method(json.loads(body)) or {}).encode() if method else b""
        self.send_response(200 if method else 404)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


with ThreadingHTTPServer(("localhost", int(os.environ.get("PORT", "4355"))), Handler) as server:
    print("listening on port", server.server_port, flush=True)
    server.serve_forever()
