"""`oarlock serve` as a process: where it listens, for whom, until when, and what it goes on with."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from engine.cli.program import run_program
from tests.processes import started
from tests.serving.inside import workflow

Start = Callable[..., "Process"]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """A server, and what it said until it listened."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("listening on "):
                break
        self.url = self.said[-1].removeprefix("listening on ").strip()

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The answer, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with OPENER.open(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code and what was said after that signal."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server in a folder of the test's."""
    command = (sys.executable, "-m", "engine", "serve", "--listen", "127.0.0.1:0")
    with ExitStack() as begun:
        yield lambda *options: Process(
            begun.enter_context(started(*command, *options, cwd=tmp_path, stderr=subprocess.PIPE))
        )


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line with which it does not start, exit code 2; in this process, since that is a matter of options."""
    monkeypatch.chdir(tmp_path)

    def refuse(*options: str) -> str:
        assert run_program(["serve", *options]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        return line

    return refuse


def test_it_drains_and_goes_on(start: Start, tmp_path: Path) -> None:
    options = ("--executor", "pending", "--store", "oarlock.db")
    server = start(*options)
    made = server.ask("/api/v1/workflows/default", {"workflow": workflow("one")})
    while server.ask("/api/v1/workflows/default/one")["status"].get("phase") != "Running":
        pass
    code, said = server.end()
    assert code == 0, said
    assert "Traceback" not in said
    server = start(*options)
    found = server.ask("/api/v1/workflows/default/one")
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["status"]["phase"] == "Running"
    assert server.ask("/api/v1/workflows/default/one", method="DELETE") == {}
    assert server.end(signal.SIGINT)[0] == 0
    server = start(*options)
    assert server.ask("/api/v1/workflows/")["items"] == []


def test_a_second_signal_does_not_cut_off_how_it_ends(start: Start, tmp_path: Path) -> None:
    wait = "while [ ! -e go ]; do sleep 0.01; done"
    source = f"cd {tmp_path}; trap 'touch ending; {wait}; exit' TERM; touch begun; {wait}"
    main = {"name": "main", "container": {"image": "any", "command": ["sh", "-c", source]}}
    made = {"metadata": {"name": "one"}, "spec": {"entrypoint": "main", "templates": [main]}}
    server = start("--executor", "local", "--work-dir", str(tmp_path / "runs"))
    server.ask("/api/v1/workflows/default", {"workflow": made})
    for happened in ("begun", "ending"):
        while not (tmp_path / happened).exists():
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
    (tmp_path / "go").touch()
    code, said = server.end()
    assert code == 0, said


def test_finished_workflows_are_there_after_a_start(start: Start) -> None:
    server = start("--store", "oarlock.db")
    server.ask("/api/v1/workflows/default", {"workflow": workflow("one")})
    while server.ask("/api/v1/workflows/default/one")["status"].get("phase") != "Succeeded":
        pass
    before = server.ask("/api/v1/workflows/default/one")
    server.process.kill()
    server.process.wait()
    server = start("--store", "oarlock.db")
    after = server.ask("/api/v1/workflows/default/one")
    assert after["status"] == before["status"]
    assert after["status"]["nodes"]
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    again = server.ask("/api/v1/workflows/default", {"workflow": workflow("one")})
    assert again["code"] == 6


def test_streams_end_when_it_drains(start: Start) -> None:
    server = start("--executor", "pending")
    server.ask("/api/v1/workflows/default", {"workflow": workflow("one")})
    with OPENER.open(f"{server.url}/api/v1/workflow-events/") as events:
        assert json.loads(events.readline())["result"]["type"]
        code, said = server.end()
        assert events.read() is not None  # to its end, in order
    assert code == 0, said


def test_manifests_are_there_from_the_start(start: Start, tmp_path: Path) -> None:
    template = {"kind": "WorkflowTemplate", "metadata": {"name": "t"}, "spec": workflow("x")["spec"]}
    one = {"kind": "Workflow", "metadata": {"name": "one"}, "spec": {"workflowTemplateRef": {"name": "t"}}}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([one, template]))
    for _ in range(2):
        server = start("all.yaml", "--store", "oarlock.db")
        while (found := server.ask("/api/v1/workflows/default/one"))["status"].get("phase") != "Succeeded":
            pass
        assert len(server.ask("/api/v1/workflows/")["items"]) == 1
        assert found["spec"] == one["spec"]
        body = {"resourceKind": "WorkflowTemplate", "resourceName": "t", "submitOptions": {"dryRun": True}}
        assert "metadata" in server.ask("/api/v1/workflows/default/submit", body)
        assert server.end()[0] == 0


def test_it_speaks_https(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    server = start("--tls-cert", "cert.pem", "--tls-key", "key.pem", "--listen", "localhost:0")
    assert server.url.startswith("https://localhost:")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(f"{server.url}/api/v1/version") as response:
        assert json.load(response)["version"]


def test_elsewhere_than_on_loopback_it_wants_a_token(start: Start, refused: Refused, tmp_path: Path) -> None:
    for listen in ("0.0.0.0:0", ":0", "[::]:0", "example.com:0"):
        line = refused("--listen", listen)
        assert "expected --token-file" in line
    server = start("--listen", "0.0.0.0:0", "--insecure")
    assert any("insecure" in each for each in server.said)
    assert server.ask("/healthz".replace("0.0.0.0", "127.0.0.1"))["status"] == "ok"
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "token").chmod(0o600)
    server = start("--listen", "0.0.0.0:0", "--token-file", "token")
    assert server.said == [f"listening on {server.url}\n"]
    assert server.ask("/api/v1/version")["code"] == 16


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--listen", "nonsense"), "--listen: expected HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "--listen: expected HOST:PORT"),
        (("--listen", "127.0.0.1:x"), "--listen: expected HOST:PORT"),
        (("--listen", "user@127.0.0.1:1"), "--listen: expected HOST:PORT"),
        (("--listen", "127.0.0.1:1/path"), "--listen: expected HOST:PORT"),
        (("--listen", "[::1:0"), "--listen: expected HOST:PORT"),
        (("--token-file", "gone"), "--token-file: gone: No such file or directory"),
        (("--token-file", "."), "--token-file: .: Is a directory"),
        (("--token-file", "empty"), "--token-file: empty: expected a token, it is empty"),
        (("--token-file", "two"), "--token-file: two: expected one token of printable ASCII"),
        (("--tls-cert", "two"), "--tls-key: expected it as well"),
        (("--tls-key", "two"), "--tls-cert: expected it as well"),
        (("--tls-cert", "gone", "--tls-key", "two"), "--tls-cert: gone: No such file or directory"),
        (("--tls-cert", "two", "--tls-key", "two"), "--tls-cert two: expected a certificate"),
        (("--store", "gone/oarlock.db"), "expected a file in a directory that exists"),
        (("--store", "two"), "expected a SQLite database, this is none"),
        (("--config", "gone"), "gone"),
        (("--outcomes", "gone"), "gone"),
        (("--ray", "auto"), "--ray: expected --shards as well"),
        (("--work-dir", "x"), "--work-dir: only the local executor has one"),
        (("--executor", "pending", "--outcomes", "x"), "x"),
        (("gone.yaml",), "gone.yaml: No such file or directory"),
        (("bad.yaml",), "bad.yaml"),
        (("refused.yaml",), "spec.entrypoint is required"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(
    options: tuple[str, ...], expected: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "two").write_text("two words, and not a database of any kind")
    (tmp_path / "bad.yaml").write_text("{")
    (tmp_path / "refused.yaml").write_text("{kind: Workflow, metadata: {name: a}, spec: {}}")
    listen = () if "--listen" in options else ("--listen", "127.0.0.1:0")
    assert expected in refused(*listen, *options)


def test_an_address_in_use_is_one_line(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused("--listen", f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_store_that_another_server_has_is_one_line(start: Start, refused: Refused) -> None:
    server = start("--store", "oarlock.db")
    line = refused("--store", "oarlock.db", "--listen", "127.0.0.1:0")
    assert f"in use by process {server.process.pid}" in line
