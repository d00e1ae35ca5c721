"""The plugin that the proposal printed, as people have it: http.server, one thread, no lengths, the body never read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from rpc.methods import PATHS, Method
from tests.acceptance.fixtures import Ended, RunPython
from tests.acceptance.manifests import container, loop, workflow
from tests.processes import started

SOURCE = """
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.path == "{path}":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({{}}).encode("utf-8"))
        else:
            self.send_response(404)
            self.end_headers()

if __name__ == "__main__":
    server = HTTPServer(("localhost", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
"""


class Running:
    """The plugin as a process; its access log tells what it was asked."""

    def __init__(self, path: str, folder: Path, stack: ExitStack) -> None:
        file = folder / "plugin.py"
        file.write_text(SOURCE.format(path=path))
        self._log = stack.enter_context((folder / "access.log").open("w+"))
        process = stack.enter_context(started(sys.executable, file, stdout=subprocess.PIPE, stderr=self._log))
        assert process.stdout is not None
        self.address = f"http://localhost:{int(process.stdout.readline())}"

    def asked(self) -> Counter[tuple[str, str]]:
        """How often each path was answered with which status."""
        self._log.seek(0)
        lines = [line.split('"') for line in self._log]
        return Counter((request.split()[1], status.split()[0]) for _, request, status in lines)


@pytest.fixture
def proposal_plugin(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    with ExitStack() as stack:
        yield lambda path: Running(path, tmp_path, stack)


def a_hundred_nodes(running: Running, process: RunPython, folder: Path) -> Ended:
    """`oarlock run` of a loop with the plugin."""
    (folder / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "hello"\naddress = "{running.address}"\n'
    )
    (folder / "work.yaml").write_text(yaml.safe_dump(workflow(loop(100), container("leaf")).to_dict()))
    done = process("-m", "engine", "run", "work.yaml", "--config", "plugins.toml", "--output", "json")
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("path", ["/workflow.preOperate", "/WorkflowLifecycleHook.WorkflowPreOperate"])
def test_the_proposals_own_plugin_sees_a_hundred_nodes_succeed(
    path: str, proposal_plugin: Callable[[str], Running], process: RunPython, tmp_path: Path
) -> None:
    running = proposal_plugin(path)
    done = a_hundred_nodes(running, process, tmp_path)
    ended = json.loads(done.out)
    assert ended["status"]["phase"] == "Succeeded"
    leaves = [node for node in ended["status"]["nodes"].values() if node["type"] == "Pod"]
    assert len(leaves) == 100
    assert {node["phase"] for node in leaves} == {"Succeeded"}
    assert "aborted" not in done.err

    asked = running.asked()
    answered = {path for path, status in asked if status == "200"}
    assert answered == {path}
    refused = {path: count for (path, status), count in asked.items() if status == "404"}
    assert set(refused.values()) == {1}, "no path that it does not know was asked for twice"
    methods = Counter(PATHS[path] for path in refused)
    assert methods[Method.NODE_PRE_EXECUTE] == 3, "asked in each spelling before it is given up"


def test_it_is_not_hurt_by_concurrency(
    proposal_plugin: Callable[[str], Running], process: RunPython, tmp_path: Path
) -> None:
    """It implements a node hook: hundreds of calls at a time would overflow its listen backlog of five."""
    running = proposal_plugin("/node.preExecute")
    done = a_hundred_nodes(running, process, tmp_path)
    assert json.loads(done.out)["status"]["phase"] == "Succeeded"
    asked = running.asked()
    assert asked["/node.preExecute", "200"] >= 100
    assert "aborted" not in done.err, "no call was lost"
