"""Logs over HTTP: lines as they are written, of one leaf or all, and the options of Kubernetes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.serving.conftest import Served


def shell(source: str, **fields: Any) -> dict[str, Any]:
    """A workflow that is one shell script."""
    template = {"name": "main", "script": {"image": "alpine", "command": ["sh"], "source": source}, **fields}
    return {"metadata": {"generateName": "log-"}, "spec": {"entrypoint": "main", "templates": [template]}}


def ran(served: Served, document: dict[str, Any]) -> str:
    name: str = served.submit(document)["metadata"]["name"]
    served.wait(name)
    return name


def log(served: Served, name: str, *, pod: str = "", **options: Any) -> list[str]:
    """The lines that are answered but the first one, which says that no image is used."""
    query = urlencode(
        {key if key in ("grep", "selector") else f"logOptions.{key}": each for key, each in options.items()}
    )
    path = f"/api/v1/workflows/default/{name}/{f'{pod}/' if pod else ''}log?{query}"
    answer = served.ask("GET", path)
    assert answer.status == 200, answer.body
    entries = [json.loads(line)["result"] for line in answer.body.splitlines()]
    return [each["content"] for each in entries if "[oarlock: " not in each["content"]]


@pytest.fixture(scope="module")
def numbers(served: Served) -> str:
    return ran(served, shell("for i in 1 2 3 4 5 6 7 8 9 10 11; do echo line $i; done"))


def test_lines_are_entries_with_the_name_of_their_pod(served: Served, numbers: str) -> None:
    answer = served.ask("GET", f"/api/v1/workflows/default/{numbers}/log?logOptions.tailLines=1")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {"result": {"content": "line 11", "podName": numbers}}


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"tailLines": 2}, ["line 10", "line 11"]),
        ({"tailLines": 0}, []),
        ({"tailLines": 1000, "grep": "1$"}, ["line 1", "line 11"]),
        ({"grep": "^line [12]$"}, ["line 1", "line 2"]),
        ({"sinceSeconds": 3600, "tailLines": 1}, ["line 11"]),
        ({"sinceTime.seconds": 4102444800}, []),
        ({"sinceTime": "2100-01-01T00:00:00Z"}, []),
        ({"sinceTime": "2001-01-01T02:00:00+02:00", "tailLines": 1}, ["line 11"]),
        ({"previous": "true"}, []),
        ({"selector": "workflows.argoproj.io/completed=true", "tailLines": 1}, ["line 11"]),
        ({"selector": "workflows.argoproj.io/completed=false"}, []),
    ],
)
def test_options_choose_lines(served: Served, numbers: str, options: dict[str, Any], lines: list[str]) -> None:
    assert log(served, numbers, **options) == lines


def test_a_bound_on_bytes_cuts_the_last_line(served: Served, numbers: str) -> None:
    whole = served.ask("GET", f"/api/v1/workflows/default/{numbers}/log").body
    first = json.loads(whole.splitlines()[0])["result"]["content"]
    assert log(served, numbers, limitBytes=len(first) + 1 + len("line 1\nli")) == ["line 1", "li"]


def test_a_bound_may_be_larger_than_any_log(served: Served, numbers: str) -> None:
    assert log(served, numbers, limitBytes=10**18 - 1, tailLines=1) == ["line 11"]


def test_timestamps_are_those_of_the_lines(served: Served) -> None:
    name = ran(served, shell("echo a; sleep 0.3; echo b"))
    first, second = (line.split(" ") for line in log(served, name, timestamps="true"))
    assert (first[1], second[1]) == ("a", "b")
    assert first[0] < second[0]
    assert len(second[0]) == len("2024-05-01T12:00:00.000000000Z")


def test_long_lines_and_bytes_that_are_no_text_come_through(served: Served) -> None:
    name = ran(served, shell("head -c 1500000 /dev/zero | tr '\\0' x; echo; printf 'caf\\351\\r\\nlast'"))
    long, rest, bad, last = log(served, name)
    assert len(long) + len(rest) == 1500000
    assert (bad, last) == ("caf�", "last")


def test_a_pod_has_the_name_that_argo_gives(served: Served) -> None:
    leaf = shell("echo {{inputs.parameters.x}}", inputs={"parameters": [{"name": "x"}]})["spec"]["templates"][0]
    leaf["name"] = "say"
    calls = [
        {"name": name, "template": "say", "arguments": {"parameters": [{"name": "x", "value": name}]}} for name in "ab"
    ]
    document = {
        "metadata": {"generateName": "log-"},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "steps": [calls]}, leaf]},
    }
    name = ran(served, document)
    nodes = served.wait(name)["status"]["nodes"].values()
    node = next(each for each in nodes if each["displayName"] == "b")
    pod = f"{name}-say-{node['id'].removeprefix(f'{name}-')}"
    assert log(served, name, pod=pod) == log(served, name, pod=node["id"]) == ["b"]
    assert sorted(log(served, name)) == ["a", "b"]


def test_containers_have_one_each(served: Served) -> None:
    group = [{"name": name, "image": "a", "command": ["echo", f"I am {name}"]} for name in ("main", "other")]
    document = shell("")
    document["spec"]["templates"] = [{"name": "main", "containerSet": {"containers": group}}]
    name = ran(served, document)
    assert log(served, name) == ["I am main"]
    assert log(served, name, container="other") == ["I am other"]


class Following:
    """A log that is followed over a connection of its own."""

    def __init__(self, served: Served, name: str, query: str = "") -> None:
        self._connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
        self._connection.request("GET", f"/api/v1/workflows/default/{name}/log?logOptions.follow=true{query}")
        self.response = self._connection.getresponse()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[str]:
        for line in self.response:
            content = json.loads(line)["result"]["content"]
            if "[oarlock: " not in content:
                yield content
        self.close()


def test_a_log_is_followed_while_leaves_come_and_go(served: Served, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo {{{{pod.name}}}} first; while [ ! -e {go} ]; do sleep 0.01; done; echo last"
    leaf = {**shell(script)["spec"]["templates"][0], "name": "say"}
    rows = [[{"name": "a", "template": "say"}], [{"name": "b", "template": "say"}]]
    document = {
        "metadata": {"generateName": "log-"},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "steps": rows}, leaf]},
    }
    name = served.submit(document)["metadata"]["name"]
    heard = []
    for line in Following(served, name):
        heard.append(line.rpartition(" ")[2])
        go.touch()
    assert heard == ["first", "last", "first", "last"]
    assert served.wait(name)["status"]["phase"] == "Succeeded"


def test_following_ends_where_the_workflow_is_deleted(served: Served) -> None:
    name = served.submit(shell("echo here; sleep 600"))["metadata"]["name"]
    following = iter(Following(served, name, "&podName=" + name))
    assert next(following) == "here"
    assert served.ask("DELETE", f"/api/v1/workflows/default/{name}").status == 200
    assert list(following) == []


def test_who_goes_away_leaves_the_server_well(served: Served) -> None:
    name = served.submit(shell("while :; do echo y; done"))["metadata"]["name"]
    following = Following(served, name)
    assert next(iter(following)) == "y"
    following.close()
    assert served.ask("DELETE", f"/api/v1/workflows/default/{name}").status == 200


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("podName=none", 404, 'pods "none" not found'),
        ("podName={name}&logOptions.container=none", 404, 'the log of container "none" not found'),
        ("podName={name}&logOptions.container=..%2Fmain", 404, "not found"),
        ("logOptions.tailLines=-1", 400, "logOptions.tailLines: expected a number of 0 or more, got '-1'"),
        ("logOptions.limitBytes=0", 400, "logOptions.limitBytes: expected a number of 1 or more, got '0'"),
        ("logOptions.sinceTime.seconds=1&logOptions.sinceTime.nanos=x", 400, "logOptions.sinceTime.nanos: expected"),
        ("logOptions.sinceTime=noon", 400, "logOptions.sinceTime: expected a time such as"),
        ("logOptions.sinceSeconds=x", 400, "logOptions.sinceSeconds: expected a number"),
        ("logOptions.sinceSeconds=1&logOptions.sinceTime.seconds=1", 400, "at most one of"),
        ("logOptions.follow=perhaps", 400, "logOptions.follow: expected true or false, got 'perhaps'"),
        ("logOptions.stream=Stderr", 400, "logOptions.stream: expected All"),
        ("grep=" + quote("("), 400, "grep: failed to compile '('"),
        ("selector=" + quote("a in"), 400, "labelSelector: expected"),
    ],
)
def test_what_cannot_be_is_refused(served: Served, numbers: str, query: str, status: int, message: str) -> None:
    answer = served.ask("GET", f"/api/v1/workflows/default/{numbers}/log?" + query.replace("{name}", numbers))
    assert (answer.status, message in answer.json()["message"]) == (status, True), answer.body


def test_of_a_workflow_that_there_is_not(served: Served) -> None:
    answer = served.ask("GET", "/api/v1/workflows/default/none/log")
    assert (answer.status, answer.json()["message"]) == (404, 'workflows.argoproj.io "none" not found')
