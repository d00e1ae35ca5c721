"""Artifacts over HTTP: files, folders and what is in them; never anything else."""

from __future__ import annotations

import http.client
import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from tests.serving.conftest import Answer, Served

SOURCE = """
mkdir -p /tmp/out/deep/er /tmp/site
echo top > /tmp/out/top.txt
echo '<script>alert(1)</script>' > '/tmp/out/deep/<b>&"x.html'
ln -s ../top.txt /tmp/out/deep/link.txt
echo page > /tmp/site/index.html
echo plain > /tmp/file.txt
echo other > /tmp/other.txt
"""


class Run(NamedTuple):
    """A workflow that has left artifacts; ``first`` and ``second`` are the nodes."""

    served: Served
    name: str
    uid: str
    first: str
    second: str

    def get(self, path: str, **headers: str) -> Answer:
        return self.served.ask("GET", path.format(**self._asdict()), None, **headers)


@pytest.fixture(scope="module")
def run(served: Served) -> Run:
    paths = {"dir": "/tmp/out", "site": "/tmp/site", "file": "/tmp/file.txt"}
    artifacts: list[dict[str, Any]] = [{"name": name, "path": path} for name, path in paths.items()]
    artifacts.append({"name": "gz", "path": "/tmp/other.txt", "s3": {"key": "keyed/file.txt.gz"}})
    artifacts.append({"name": "keyed", "path": "/tmp/file.txt", "s3": {"key": "keyed/file.txt"}})
    script = {"image": "a", "command": ["sh"], "source": SOURCE}
    taken = {"name": "in", "path": "/tmp/in"}
    raw = {"name": "raw", "path": "/tmp/raw", "raw": {"data": "as it stands"}}
    templates = [
        {"name": "make", "script": script, "outputs": {"artifacts": artifacts}},
        {
            "name": "take",
            "inputs": {"artifacts": [taken, raw]},
            "container": {"image": "a", "command": ["cat", "/tmp/in/top.txt"]},
        },
        {
            "name": "main",
            "steps": [
                [{"name": "first", "template": "make"}],
                [
                    {
                        "name": "second",
                        "template": "take",
                        "arguments": {"artifacts": [{"name": "in", "from": "{{steps.first.outputs.artifacts.dir}}"}]},
                    }
                ],
            ],
        },
    ]
    made = served.submit({"metadata": {"generateName": "art-"}, "spec": {"entrypoint": "main", "templates": templates}})
    workflow = served.wait(made["metadata"]["name"])
    assert workflow["status"]["phase"] == "Succeeded", workflow["status"]
    nodes = {node["displayName"]: node["id"] for node in workflow["status"]["nodes"].values()}
    metadata = workflow["metadata"]
    return Run(served, metadata["name"], metadata["uid"], nodes["first"], nodes["second"])


@pytest.mark.parametrize("path", ["/artifacts/default/{name}/{first}/keyed", "/artifacts-by-uid/{uid}/{first}/keyed"])
def test_a_file_is_sent_as_it_is(run: Run, path: str) -> None:
    answer = run.get(path)
    assert (answer.status, answer.body) == (200, b"plain\n")
    assert answer.headers["Content-Disposition"] == 'filename="file.txt"'
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; base-uri 'none'; default-src 'none';")


def test_the_type_may_be_that_of_the_path(run: Run) -> None:
    answer = run.get("/artifacts/default/{name}/{first}/file")
    assert (answer.headers["Content-Disposition"], answer.headers["Content-Type"]) == ('filename="file"', "text/plain")


def test_parts_of_a_file_can_be_had(run: Run) -> None:
    answer = run.get("/artifacts/default/{name}/{first}/file", Range="bytes=1-3")
    assert (answer.status, answer.body) == (206, b"lai")


def test_another_artifact_beside_it_is_not_taken_for_it_compressed(run: Run) -> None:
    answer = run.get("/artifacts/default/{name}/{first}/keyed", **{"Accept-Encoding": "gzip"})
    assert answer.body == b"plain\n"
    assert run.get("/artifacts/default/{name}/{first}/gz").body == b"other\n"


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts/default/{name}/{first}/dir",
        "/input-artifacts/default/{name}/{second}/in",
        "/input-artifacts-by-uid/{uid}/{second}/in",
    ],
)
def test_a_folder_is_an_archive(run: Run, path: str) -> None:
    answer = run.get(path)
    assert answer.headers["Content-Disposition"] == 'filename="dir.tgz"'
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as archive:
        assert "dir/deep/er" in archive.getnames()
        behind = archive.extractfile("dir/deep/link.txt")
        assert behind is not None
        assert behind.read() == b"top\n"
        assert archive.getmember("dir/deep/link.txt").issym()


def test_an_input_that_stands_in_the_template(run: Run) -> None:
    assert run.get("/input-artifacts/default/{name}/{second}/raw").body == b"as it stands"


FILES = "/artifact-files/default/workflows/{name}/{first}/outputs/"


def test_a_folder_is_looked_into(run: Run) -> None:
    there = run.get(FILES + "dir")
    assert (there.status, there.headers["Location"]) == (307, (FILES + "dir/").format(**run._asdict()))
    page = run.get(FILES + "dir/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<a href="./deep/">deep/</a>' in page.body.decode()
    assert run.get(FILES + "dir/top.txt").body == b"top\n"
    assert run.get(FILES + "dir/deep/link.txt").body == b"top\n"
    archived = "/artifact-files/default/archived-workflows/{uid}/{first}/outputs/dir/top.txt"
    assert run.get(archived).body == b"top\n"


def test_names_are_no_markup(run: Run) -> None:
    page = run.get(FILES + "dir/deep/").body.decode()
    name = '<b>&"x.html'
    assert "<b>" not in page
    assert f'href="./{quote(name)}"' in page
    answer = run.get((FILES + "dir/deep/").format(**run._asdict()) + quote(name))
    assert answer.headers["Content-Disposition"] == 'filename="%3Cb%3E&%22x.html"'
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")


def test_a_site_begins_with_its_index(run: Run) -> None:
    assert run.get(FILES + "site/").headers["Location"].endswith("/site/index.html")


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts/default/{name}/{first}/none",
        "/artifacts/default/{name}/none/dir",
        "/artifacts/default/none/{first}/dir",
        "/artifacts/elsewhere/{name}/{first}/dir",
        "/artifacts-by-uid/none/{first}/dir",
        "/artifacts/default/{name}/{first}/..%2Ffile",
        "/input-artifacts/default/{name}/{second}/..",
        FILES + "dir/none",
        FILES + "dir/top.txt/below",
        FILES + "dir/..%2Ffile",
        FILES + "dir/%2E%2E/file",
        FILES + "dir/deep/%2E%2E/%2E%2E/file",
        FILES + "dir/..%00",
        FILES + "dir/" + "x" * 300,
        FILES.replace("outputs", "inputs") + "dir/",
        FILES.replace("/workflows/", "/elsewhere/") + "dir/",
    ],
)
def test_nothing_else_is_answered(run: Run, path: str) -> None:
    answer = run.get(path)
    assert answer.status in (400, 404), answer.body
    assert answer.json()["code"] in (3, 5)
    assert answer.json()["message"]


def test_a_link_that_leads_out_is_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = run.served.runs / run.uid / "artifacts" / run.first / "dir"
    (folder / "out").symlink_to(tmp_path / "secret")
    try:
        assert run.get(FILES + "dir/out").status == 404
    finally:
        (folder / "out").unlink()


def test_what_is_gone_is_told(run: Run) -> None:
    (run.served.runs / run.uid / "artifacts" / run.first / "file").unlink()
    answer = run.get("/artifacts/default/{name}/{first}/file")
    assert (answer.status, "any more" in answer.json()["message"]) == (404, True)


def test_an_archive_that_cannot_be_ended_is_cut_off(run: Run) -> None:
    large = run.served.runs / run.uid / "artifacts" / run.first / "dir" / "large"
    large.write_bytes(os.urandom(8 << 20))  # more than sockets hold, so that the server waits in its middle
    try:
        with socket.socket() as here:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            here.settimeout(30)
            here.connect(("127.0.0.1", urlsplit(run.served.url).port))
            path = f"/artifacts/default/{run.name}/{run.first}/dir"
            here.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = http.client.HTTPResponse(here)
            answer.begin()
            answer.read(1 << 20)
            os.truncate(large, 1)
            with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
                answer.read()
    finally:
        large.unlink()


TAKING = {
    "entrypoint": "main",
    "arguments": {
        "artifacts": [{"name": "in", "s3": {"bucket": "mine", "key": "usual"}}, {"name": "raw", "raw": {"data": "r"}}]
    },
    "templates": [
        {
            "name": "main",
            "inputs": {"artifacts": [{"name": "in", "path": "/tmp/in"}]},
            "container": {"image": "a", "command": ["cat", "/tmp/in"]},
        }
    ],
}


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"])
def test_a_template_is_submitted_with_what_another_workflow_has_left(run: Run, kind: str) -> None:
    served, name = run.served, f"taking-{kind.lower()}"
    path, field, spec = {
        "WorkflowTemplate": ("workflow-templates/default", "template", TAKING),
        "ClusterWorkflowTemplate": ("cluster-workflow-templates", "template", TAKING),
        "CronWorkflow": (
            "cron-workflows/default",
            "cronWorkflow",
            {"schedules": ["0 0 1 1 *"], "workflowSpec": TAKING},
        ),
    }[kind]
    answer = served.ask("POST", f"/api/v1/{path}", {field: {"metadata": {"name": name}, "spec": spec}})
    assert answer.status == 200, answer.body

    def submit(*artifacts: str) -> Answer:
        body = {"resourceKind": kind, "resourceName": name, "submitOptions": {"artifacts": artifacts}}
        return served.ask("POST", "/api/v1/workflows/default/submit", body)

    made = submit(f"in={run.uid}/keyed/file.txt").json()
    ended = served.wait(made["metadata"]["name"])
    (node,) = ended["status"]["nodes"].values()
    assert (node["phase"], node["outputs"]["result"]) == ("Succeeded", "plain")
    (taken,) = (each for each in made["spec"]["arguments"]["artifacts"] if each["name"] == "in")
    assert taken["s3"] == {"bucket": "mine", "key": f"{run.uid}/keyed/file.txt"}
    for given, message in (
        (("in",), "expected artifact of the form: NAME=KEY. Received: in"),
        (("in=",), "expected artifact of the form: NAME=KEY. Received: in="),
        (("in=a", "out=a"), "artifact override(s) matched no artifact: out"),
        (("raw=a",), "artifact 'raw' lies at no key"),
    ):
        answer = submit(*given)
        assert (answer.status, answer.json()) == (400, {"code": 3, "message": message})
    assert served.ask("DELETE", f"/api/v1/{path}/{name}").status == 200
