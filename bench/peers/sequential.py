"""The loop that needs no library: one connection, and each call sent when the one before it was answered."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench.peers.window import Outcome, Task, given, report, window


def send(task: Task) -> Outcome:
    """Send the task's calls one after another; its ``connections`` are not looked at."""
    url, body = urlsplit(task.url), task.body.encode()
    connection = HTTPConnection(url.netloc)

    def post() -> bool:
        connection.request("POST", url.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status == 200

    try:
        for _ in range(task.warm_up):
            post()
        with window(task.calls) as outcome:
            outcome.errors = sum(not post() for _ in range(task.calls))
    finally:
        connection.close()
    return outcome


if __name__ == "__main__":
    report(send(given()))
