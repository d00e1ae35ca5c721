from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from bench import servers
from bench.plugin_server import Behaviour
from bench.servers import Missing
from rpc.methods import Method
from tests.processes import PATIENCE, started

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

SILENT = Behaviour(name="silent", replies={Method.NODE_PRE_EXECUTE: {}})
TALKATIVE = Behaviour(name="talkative", replies={Method.PARAMETERS_ADD: {"parameters": {"hello": "good morning"}}})


def post(address: str, method: str) -> tuple[int, bytes]:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
    try:
        connection.request("POST", f"{url.path}/{method}", b"{}")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def listens(address: str) -> bool:
    url = urlsplit(address)
    try:
        socket.create_connection((url.hostname or "", url.port or 0), timeout=PATIENCE).close()
    except ConnectionError:
        return False
    return True


def until_gone(address: str) -> bool:
    deadline = time.monotonic() + PATIENCE
    while listens(address):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@needs_nginx
def test_nginx_answers_each_behaviour_at_its_own_address_and_404_to_the_rest() -> None:
    with servers.nginx([SILENT, TALKATIVE]) as server:
        silent, talkative = server.addresses
        assert post(silent, "node.preExecute") == (200, b"{}")
        assert post(talkative, "parameters.add") == (200, b'{"parameters":{"hello":"good morning"}}')
        assert post(silent, "parameters.add")[0] == 404
        assert post(talkative, "node.preExecute")[0] == 404


@needs_nginx
def test_nginx_counts_requests_and_is_gone_afterwards() -> None:
    with servers.nginx([SILENT]) as server:
        (address,) = server.addresses
        before = server.requests()
        for _ in range(7):
            post(address, "node.preExecute")
        assert server.requests() - before == 7 + 1
        assert server.name.startswith("nginx ")
    assert not listens(address)


def test_a_server_that_is_not_installed_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Missing, match="nginx is not installed"), servers.nginx([SILENT]):
        pass


def test_plugins_answer_as_told_and_count_exactly() -> None:
    with servers.plugins([SILENT, TALKATIVE]) as running:
        silent, talkative = running.addresses
        for _ in range(5):
            assert post(silent, "node.preExecute") == (200, b"{}")
        assert post(talkative, "parameters.add") == (200, b'{"parameters":{"hello":"good morning"}}')
        assert post(talkative, "node.preExecute")[0] == 404
        served = [counted and counted.calls for counted in running.stop()]
    assert served == [{"node.preExecute": 5}, {"parameters.add": 1}]
    assert not listens(silent)


def test_a_plugin_that_was_killed_has_no_count_to_give() -> None:
    with servers.plugins([SILENT, TALKATIVE]) as running:
        running.processes[0].kill()
        first, second = running.stop()
    assert first is None
    assert second is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_servers_do_not_outlive_the_bench(number: signal.Signals) -> None:
    if number == signal.SIGKILL and shutil.which("setpriv") is None:
        pytest.skip("only setpriv ties a child's life to its parent's")
    program = f"""
import signal, time
from bench import processes, servers
from bench.plugin_server import Behaviour
from contextlib import ExitStack
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored by what a shell runs in the background
processes.raise_on_sigterm()
behaviour = Behaviour(name="silent", replies={{"node.preExecute": {{}}}})
with ExitStack() as stack:
    addresses = stack.enter_context(servers.plugins([behaviour])).addresses
    if {shutil.which("nginx") is not None}:
        addresses += stack.enter_context(servers.nginx([behaviour])).addresses
    print(*addresses, flush=True)
    time.sleep(3600)
"""
    command = (sys.executable, "-c", program)
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bench:
        assert bench.stdout is not None
        addresses = bench.stdout.readline().split()
        assert addresses
        assert all(listens(address) for address in addresses)
        os.kill(bench.pid, number)
        bench.wait(PATIENCE)
    assert all(until_gone(address) for address in addresses)
