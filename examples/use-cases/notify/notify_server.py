"""Tells a webhook of every workflow that has ended, with nothing but http.server: see notify.py."""

from __future__ import annotations

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENDED = ("Succeeded", "Failed", "Error")

told = set[str]()
"""An end may be told again, where a pass was aborted after it."""


def notify(args: dict[str, Any]) -> None:
    """Raises `OSError` where nobody could be told."""
    metadata, status = args["new"]["metadata"], args["new"]["status"]
    if status.get("phase") not in ENDED or args["old"]["status"].get("phase") in ENDED:
        return
    end = f"{metadata['uid']}/{status.get('finishedAt', '')}"  # a workflow that is retried has several
    if end in told:
        return
    text = f"{metadata['namespace']}/{metadata['name']} {status['phase']} {status.get('message', '')}".strip()
    headers = {"Content-Type": "application/json", "Idempotency-Key": end}
    request = urllib.request.Request(os.environ["WEBHOOK_URL"], json.dumps({"text": text}).encode(), headers)
    with urllib.request.urlopen(request, timeout=10):
        told.add(end)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        args = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/workflow.postOperate":
            return self.answer(404)
        try:
            notify(args)
        except OSError as error:
            return self.answer(503, f"nobody was told: {error}")
        return self.answer(200, "{}")

    def answer(self, status: int, body: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        if status == 503:
            self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(body.encode())


with ThreadingHTTPServer(("localhost", int(os.environ.get("PORT", "4355"))), Handler) as server:
    print("listening on port", server.server_port, flush=True)
    server.serve_forever()
