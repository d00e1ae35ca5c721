"""`oarlock serve` as a process of its own, as its users start it, with leaves that really run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.processes import started
from tests.serving import inside

TOKEN = "a-token-of-the-tests"


class Served(NamedTuple):
    """A server: its address, what asks it for things has to have as token, and the folder of its runs."""

    url: str
    token: str | None
    runs: Path
    process: subprocess.Popen[str]

    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """What it answers, whatever the status."""
        data = None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.url + path, data, {**self.headers(), **told, **headers}, method=method)
        try:
            with _opener.open(request, timeout=60) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def submit(self, document: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
        answer = self.ask("POST", f"/api/v1/workflows/{namespace}", {"workflow": document})
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    def wait(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """The workflow, once it is over."""
        while True:
            workflow: dict[str, Any] = self.ask("GET", f"/api/v1/workflows/{namespace}/{name}").json()
            if workflow["status"].get("phase") in ("Succeeded", "Failed", "Error"):
                return workflow
            time.sleep(0.02)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


@contextmanager
def serving(folder: Path, *options: str, token: str | None = None, executor: str = "local") -> Iterator[Served]:
    """A server on a free port, in a folder of its own. It is killed at the end: who wants more of it has `end`."""
    folder.mkdir(exist_ok=True)
    if token is not None:
        (folder / "token").write_text(token)
        (folder / "token").chmod(0o600)
        options = ("--token-file", str(folder / "token"), *options)
    command = [sys.executable, "-m", "engine", "serve", "--listen", "127.0.0.1:0", "--executor", executor]
    command += ["--store", str(folder / "oarlock.db"), *options]
    command += ["--work-dir", str(folder / "runs")] if executor == "local" else []
    with started(*command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        if "listening on " not in line:
            process.terminate()
            raise AssertionError(line + process.communicate(timeout=60)[1])
        yield Served(line.rpartition("listening on ")[2].strip(), token, folder / "runs", process)


def end(served: Served) -> None:
    """Have it drain, and say nothing on the way that it should not."""
    served.process.terminate()
    _, complaints = served.process.communicate(timeout=60)
    assert served.process.returncode == 0
    assert "Traceback" not in complaints, complaints


_SHARED = ("served", "sharded", "guarded", "asked")
"""Servers that last as long as the session."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that asks a shared server is run by one worker: each of them would start one of its own."""
    here = Path(__file__).parent
    for item in items:
        if isinstance(item, pytest.Function) and here in item.path.parents:
            asked = [*item.fixturenames, *(item.callspec.params.values() if hasattr(item, "callspec") else ())]
            for name in filter(asked.__contains__, _SHARED):
                item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of this machine's, which asks nobody who they are."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server
        end(server)


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose workflows are in two other processes, which have had some: a first one takes longer."""
    with serving(tmp_path_factory.mktemp("sharded"), "--shards", "2") as server:
        for made in [server.submit(inside.workflow(), "first") for _ in range(4)]:
            server.wait(made["metadata"]["name"], "first")
        yield server
        end(server)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that wants a token."""
    with serving(tmp_path_factory.mktemp("guarded"), token=TOKEN) as server:
        yield server
        end(server)


@pytest.fixture(params=[False, True], ids=["engine", "fleet"])
def engine_or_fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `inside` serves: an engine, or a fleet of two shards."""
    monkeypatch.setattr(inside, "sharded", request.param)
