"""In place of a Spark master, for who has none at hand: python examples/use-cases/template/spark_standin.py

A job is RUNNING when it is asked about for the first three times, then FINISHED, or FAILED with the argument "fail".
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any


class Master(ThreadingHTTPServer):
    """`jobs` are by submission: what was submitted, and the states that are yet to come."""

    def __init__(self, port: int = 6066) -> None:
        super().__init__(("localhost", port), Handler)
        self.jobs: dict[str, tuple[dict[str, Any], list[str]]] = {}
        self.numbers = count()  # two may submit at a time

    def states(self, submission: str) -> list[str]:
        return self.jobs[submission][1]


class Handler(BaseHTTPRequestHandler):
    server: Master
    protocol_version = "HTTP/1.1"  # connections are kept, as Spark keeps them

    def do_POST(self) -> None:
        """Of ``create`` or ``kill/<submission>``."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, action, submission = self.path.split("/")
        if submission == "create":
            submission = f"driver-{next(self.server.numbers)}"
            end = "FAILED" if "fail" in body["appArgs"] else "FINISHED"
            self.server.jobs[submission] = body, ["RUNNING", "RUNNING", "RUNNING", end]
            print(submission, "is submitted:", body["mainClass"], *body["appArgs"], flush=True)
        elif action == "kill":
            self.server.states(submission)[:] = ["KILLED"]
            print(submission, "is killed", flush=True)
        self.reply({"success": True, "submissionId": submission})

    def do_GET(self) -> None:
        """Of ``status/<submission>``."""
        states = self.server.states(self.path.rpartition("/")[2])
        self.reply({"success": True, "driverState": states.pop(0) if len(states) > 1 else states[0]})

    def reply(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Only jobs are printed."""


if __name__ == "__main__":
    with Master() as master:
        print("listening on port 6066", flush=True)
        master.serve_forever()
