"""A plugin without the SDK: whatever serves HTTP can be one. It signs every workflow."""

from http.server import BaseHTTPRequestHandler, HTTPServer


class Plugin(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        known = self.path == "/workflow.preOperate"
        self.send_response(200 if known else 404)
        self.end_headers()
        if known:
            self.wfile.write(b'{"workflow": {"metadata": {"annotations": {"signed": "plain plugin"}}}}')


with HTTPServer(("localhost", 4355), Plugin) as server:
    print("listening on port 4355", flush=True)
    server.serve_forever()
