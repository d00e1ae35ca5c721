"""The page on embedding is run as it is written, and its service is put to what it promises."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.examples.conftest import ROOT, Checkout
from tests.processes import is_alive, started

PAGE = (ROOT / "docs/embedding.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```", PAGE)


def test_the_code_of_the_page_is_the_example() -> None:
    code = "\n".join(text for language, text in BLOCKS if language == "python")
    example = (ROOT / "examples/controller.py").read_text()
    assert [line for line in code.splitlines() if line] == [line for line in example.splitlines() if line]


def test_the_commands_of_the_page_print_what_it_says(checkout: Checkout) -> None:
    said = ""
    for language, text in BLOCKS:
        if language == "sh" and text.startswith("# leave this running\n"):
            checkout.leave_running(text.removeprefix("# leave this running\n").strip())
        elif language == "sh":
            said = checkout.run(text)
        elif language == "text":
            assert re.sub(r'"uid": "[-0-9a-f]{36}"', '"uid": "..."', said).strip() == text.strip()
        else:
            assert language == "python"


SLOW = """\
kind: Workflow
metadata: {name: slow}
spec:
  entrypoint: main
  templates:
  - name: main
    container:
      image: any
      command: [sh, -c]
      args: ["echo x >> %s; while [ ! -e %s ]; do sleep 0.02; done; echo done"]
"""


class Controller:
    """A controller's process, and a way to ask it."""

    def __init__(self, checkout: Checkout, stack: ExitStack) -> None:
        self.stack = stack
        self.folder = checkout.folder
        self.process: subprocess.Popen[str]
        self.go_on, self.begun = self.folder / "go-on", self.folder / "begun"
        self._port = int(checkout.translate("8080"))
        self.start()

    def start(self, *options: str) -> None:
        command = (".venv/bin/python", "examples/controller.py", "--port", str(self._port), *options)
        self.process = self.stack.enter_context(started(*command, cwd=self.folder, stderr=subprocess.PIPE))
        assert self.process.stderr is not None
        assert any("listening" in line for line in self.process.stderr)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        data = body.encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, found = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, found = error.code, error.read()
        return status, json.loads(found) if found[:1] in (b"{", b"[") else None

    def begin_slow(self) -> str:
        """Its uid, once its leaf runs."""
        status, (workflow,) = self.ask("POST", "/manifests", SLOW % (self.begun, self.go_on))
        assert status == 202
        while not self.begun.exists():
            time.sleep(0.01)
        return str(workflow["uid"])

    def finished(self, uid: str) -> dict[str, Any]:
        while True:
            status, document = self.ask("GET", f"/finished/{uid}")
            if status == 200 and document["status"]["phase"] in ("Succeeded", "Failed", "Error"):
                return dict(document["status"])
            time.sleep(0.01)


@pytest.fixture
def controller(checkout: Checkout) -> Iterator[Controller]:
    with ExitStack() as stack:
        made = Controller(checkout, stack)
        yield made
        made.go_on.touch()
        if made.process.poll() is None:
            assert made.end(signal.SIGTERM) == 0


def result(status: dict[str, Any]) -> tuple[str, str]:
    (node,) = status["nodes"].values()
    return status["phase"], node["outputs"]["result"]


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("ends", ["meanwhile", "afterwards"])
def test_a_leaf_that_runs_is_adopted_by_the_next_process(
    controller: Controller, way: signal.Signals, ends: str
) -> None:
    uid = controller.begin_slow()
    assert controller.end(way) == (-way if way is signal.SIGKILL else 0)
    code = controller.folder / "controller/leaves" / uid / "slow/code"
    if ends == "meanwhile":
        controller.go_on.touch()
        while not code.exists():
            time.sleep(0.01)
    controller.start()
    status, seen = controller.ask("GET", "/workflows/default/slow")
    assert (status == 404) if ends == "meanwhile" and status == 404 else seen["phase"] == "Running"
    controller.go_on.touch()
    assert result(controller.finished(uid)) == ("Succeeded", "done")
    assert controller.begun.read_text() == "x\n", "started once"


def test_what_is_deleted_is_stopped_and_makes_room_for_one_of_its_name(controller: Controller) -> None:
    uid = controller.begin_slow()
    status, refused = controller.ask("POST", "/manifests", SLOW % ("a", "b"))
    assert (status, refused["message"].partition(", with the uid ")[::2]) == (
        409,
        ("default/slow: there is an unfinished workflow of that name already", uid),
    )
    pid = int((controller.folder / "controller/leaves" / uid / "slow/pid").read_text())
    assert controller.ask("DELETE", "/workflows/default/slow") == (204, None)
    while is_alive(pid):
        time.sleep(0.01)
    assert controller.ask("GET", "/workflows/default/slow")[0] == 404
    assert controller.ask("DELETE", "/workflows/default/slow")[0] == 404
    controller.go_on.touch()
    status, (again,) = controller.ask("POST", "/manifests?wait", SLOW % (controller.begun, controller.go_on))
    assert (status, again["phase"], again["uid"] != uid) == (202, "Succeeded", True)


def test_a_template_that_changed_counts_for_the_next_workflow_and_is_kept(controller: Controller) -> None:
    template = """\
kind: WorkflowTemplate
metadata: {name: greet}
spec: {entrypoint: main, templates: [{name: main, container: {image: any, command: [echo, %s]}}]}
"""
    work = "kind: Workflow\nmetadata: {generateName: w-}\nspec: {workflowTemplateRef: {name: greet}}\n"
    for word in ("hello", "goodbye"):
        assert controller.ask("POST", "/manifests", template % word) == (202, [])
        _, (seen,) = controller.ask("POST", "/manifests?wait", work)
        assert result(controller.finished(seen["uid"])) == ("Succeeded", word)
    controller.end(signal.SIGTERM)
    controller.start()
    _, (seen,) = controller.ask("POST", "/manifests?wait", work)
    assert result(controller.finished(seen["uid"])) == ("Succeeded", "goodbye")


def test_its_plugins_are_asked_and_outputs_go_from_leaf_to_leaf(checkout: Checkout, controller: Controller) -> None:
    checkout.leave_running(".venv/bin/python examples/plain_plugin.py")
    controller.end(signal.SIGTERM)
    controller.start("--config", "examples/plugins.toml")
    diamond = (checkout.folder / "examples/diamond.yaml").read_text().replace("duration: 5m", "duration: 10ms")
    _, (seen,) = controller.ask("POST", "/manifests?wait", diamond)
    _, document = controller.ask("GET", f"/finished/{seen['uid']}")
    assert document["metadata"]["annotations"]["signed"] == "plain plugin"
    said = {node["displayName"]: node.get("outputs", {}).get("result") for node in document["status"]["nodes"].values()}
    assert said["b(1:green)"] == "green"
    assert said["polite"] == "likewise"
    assert said["d"] == "after good morning"


def test_it_is_well_until_it_is_told_to_end(controller: Controller) -> None:
    assert controller.ask("GET", "/livez")[0] == controller.ask("GET", "/readyz")[0] == 200
    uid = controller.begin_slow()
    assert controller.end(signal.SIGTERM) == 0
    pid = int((controller.folder / "controller/leaves" / uid / "slow/pid").read_text())
    assert is_alive(pid), "its leaves are left to the next process"
    os.killpg(pid, signal.SIGKILL)
