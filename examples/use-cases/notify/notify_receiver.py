"""Prints what a webhook is sent: python examples/use-cases/notify/notify_receiver.py"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self) -> None:
        print(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"], flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Only messages are printed."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("localhost", 5000), Receiver) as server:
        print("listening on port 5000", flush=True)
        server.serve_forever()
