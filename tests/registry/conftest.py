"""A configuration on disk, and plugins to point it at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from registry.logs import configure_logs
from tests.registry.api_server import ApiServer, api_server, write_kubeconfig
from tests.threads import serving


class PluginServer(ThreadingHTTPServer):
    """Answers 404 but at the paths in ``answers``, which have a status and a body; remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answers: dict[str, tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked: list[tuple[str, bytes]] = []
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: PluginServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        self.server.tokens.add(self.headers["Authorization"])
        status, reply = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., PluginServer]]:
    """Start a plugin in a thread: ``serve({"/workflow.preOperate": (200, b"{}")})``."""
    with ExitStack() as stack:

        def start(answers: dict[str, tuple[int, bytes]] | None = None) -> PluginServer:
            server = PluginServer({"/workflow.preOperate": (200, b"{}")} if answers is None else answers)
            return stack.enter_context(serving(server))

        yield start


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write ``plugins.toml``."""

    def write(text: str | bytes) -> Path:
        file = tmp_path / "plugins.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGO_PLUGINS", raising=False)
    configure_logs()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """A cluster's API server, and the kubeconfig with which it is found."""
    async with api_server() as server:
        write_kubeconfig(tmp_path, server.address)
        yield server
