"""A plugin without the SDK that answers batches: nodes that were run before need not run again."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FOUND = {"hello": "found in the cache"}  # by display name


def pre_execute(args: dict[str, Any]) -> dict[str, Any]:
    message = FOUND.get(args["node"]["displayName"])
    return {"node": {"phase": "Succeeded", "message": message}} if message else {}


def pre_execute_batch(batch: dict[str, Any]) -> dict[str, Any]:
    replies = []
    for call in batch["calls"]:
        template = batch["templates"][call["template"]]
        try:
            replies.append(pre_execute({**call, "workflow": batch["workflow"], "template": template}))
        except Exception as error:  # the other calls are answered all the same
            replies.append({"error": {"status": 500, "message": repr(error)}})
    return {"replies": replies, "resend": "changed", "resendAfter": "10m"}


METHODS = {"/node.preExecute": pre_execute, "/node.preExecute.batch": pre_execute_batch}


class Plugin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept: each has a thread, or all but one would wait for ever
    wbufsize = -1  # head and body leave together: by themselves the second waits for the first one's acknowledgment

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = METHODS.get(self.path)
        try:
            status, reply = (200, method(json.loads(body))) if method else (404, {})
        except Exception as error:
            status, reply = 500, {"message": repr(error)}
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, *about: object) -> None:
        """Not every request."""


with ThreadingHTTPServer(("localhost", 4355), Plugin) as server:
    print("listening on port 4355", flush=True)
    server.serve_forever()
