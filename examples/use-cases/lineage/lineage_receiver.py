"""Prints the OpenLineage events that it is sent: python examples/use-cases/lineage/lineage_receiver.py"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        datasets = [[each["namespace"] + "/" + each["name"] for each in event[key]] for key in ("inputs", "outputs")]
        print(event["eventType"], event["job"]["name"], *datasets, flush=True)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Only events are printed."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("localhost", 5000), Receiver) as server:
        print("listening on port 5000", flush=True)
        server.serve_forever()
