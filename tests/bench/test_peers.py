from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bench import peers, servers
from bench.peers.window import Task
from bench.plugin_server import Behaviour
from bench.servers import Nginx
from rpc.methods import Method

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

EXACT = ["Go net/http", "aiohttp", "pyreqwest", "sequential Go", "sequential Python"]


@pytest.fixture(scope="module")
def server() -> Iterator[Nginx]:
    with servers.nginx([Behaviour(name="silent", replies={Method.NODE_PRE_EXECUTE: {}})]) as running:
        yield running


@pytest.fixture(scope="module")
def installed() -> Iterator[dict[str, peers.Peer]]:
    with peers.installed() as (present, _):
        yield {peer.name: peer for peer in present}


def task(server: Nginx, method: str, calls: int = 300) -> Task:
    return Task(url=f"{server.addresses[0]}/{method}", body='{"node":{}}', calls=calls, connections=4)


@pytest.mark.parametrize("name", EXACT)
def test_a_peer_sends_exactly_the_calls_it_was_told_to(
    server: Nginx, installed: dict[str, peers.Peer], name: str
) -> None:
    if name not in installed:
        pytest.skip(f"{name} is not installed")
    told = task(server, "node.preExecute")
    before = server.requests()
    outcome = installed[name].send(told)
    served = server.requests() - before - 1
    connections = 1 if name.startswith("sequential") else told.connections
    assert outcome.calls == told.calls
    assert outcome.errors == 0
    assert served == told.calls + 4 * connections  # the warm-up
    assert outcome.seconds > 0
    assert outcome.cpu_seconds > 0


@pytest.mark.parametrize("name", EXACT)
def test_a_peer_counts_replies_that_are_not_200_as_errors(
    server: Nginx, installed: dict[str, peers.Peer], name: str
) -> None:
    if name not in installed:
        pytest.skip(f"{name} is not installed")
    assert installed[name].send(task(server, "unheard.of", 50)).errors == 50


def test_wrk_reports_what_the_server_saw(server: Nginx, installed: dict[str, peers.Peer]) -> None:
    if "wrk" not in installed:
        pytest.skip("wrk is not installed")
    before = server.requests()
    outcome = installed["wrk"].send(task(server, "node.preExecute"))
    served = server.requests() - before - 1
    assert outcome.errors == 0
    assert 0 < outcome.calls < served  # its trial run is not in its figures
    assert outcome.cpu_seconds > 0


def test_peers_that_are_not_installed_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with peers.installed() as (present, missing):
        assert {peer.name for peer in present} == {"aiohttp", "pyreqwest", "sequential Python"}
    assert missing == {
        "wrk": "wrk is not installed",
        "Go net/http": "no Go compiler is installed",
        "sequential Go": "no Go compiler is installed",
    }


def test_a_peer_that_fails_says_why(installed: dict[str, peers.Peer], closed_port: int) -> None:
    nobody = Task(url=f"http://127.0.0.1:{closed_port}/x", body="{}", calls=10, connections=1)
    with pytest.raises(peers.Failed, match="refused"):
        installed["sequential Python"].send(nobody)
