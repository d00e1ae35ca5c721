"""Shows how far nodes are while they run, with nothing but http.server: see progress.py."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WIDTH = 20


def show(args: dict[str, Any]) -> dict[str, Any]:
    old, new = args["old"].get("progress"), args["new"].get("progress")
    if old == new or not new or args["new"].get("children"):
        return {}  # the progress of what has children is theirs
    done, total = map(int, new.split("/"))
    bar = "#" * (WIDTH * done // total) if total else ""
    line = f"{args['workflow']['metadata']['name']} {args['new']['displayName']} [{bar:{WIDTH}}] {new}\n"
    print(line, end="", flush=True)  # in one piece, as other threads print, too
    return {}


def copy(args: dict[str, Any]) -> dict[str, Any]:
    job = args["template"]["plugin"].get("copy")
    if job is None:
        return {}
    begun, files = args["node"]["phase"] == "Running", int(job["files"])
    done = int(args["node"]["progress"].split("/")[0]) + 1 if begun else 0
    node = {"phase": "Running" if done < files else "Succeeded", "progress": f"{done}/{files}"}
    return {"node": node, "requeue": "1s"} if node["phase"] == "Running" else {"node": node}


METHODS = {"/node.postExecute": show, "/template.execute": copy}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = METHODS.get(self.path)
        reply = json.dumps(method(json.loads(body))).encode() if method else b""
        self.send_response(200 if method else 404)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Only progress is printed."""


with ThreadingHTTPServer(("localhost", int(os.environ.get("PORT", "4355"))), Handler) as server:
    print("listening on port", server.server_port, flush=True)
    server.serve_forever()
