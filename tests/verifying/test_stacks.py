"""What docs/stacks.md says: the plugin of each stack is healthy, and each trap is found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.program import oarlock
from engine.verifying.findings import KINDS
from tests.examples.conftest import ROOT
from tests.verifying.stacks import STACKS, running


@pytest.fixture(scope="module")
def cache(pytestconfig: pytest.Config) -> Path:
    """What is kept between runs of the tests."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("express")


def found(address: str) -> tuple[int, set[str]]:
    """The exit code, and the names of what was found."""
    result = CliRunner().invoke(oarlock, ["verify", address, "--json", "--timeout", "30s"])
    document = json.loads(result.stdout)
    assert [had["method"] for had in document["methods"]] == ["node.preExecute", "parameters.add"]
    return result.exit_code, {finding["name"] for finding in document["findings"]}


@pytest.mark.parametrize("stack", STACKS)
def test_the_plugin_of_each_stack_is_healthy(stack: str, tmp_path: Path, cache: Path) -> None:
    with running(stack, tmp_path, cache) as address:
        code, names = found(address)
    assert code == 0
    assert names == ({"closes-connections"} if stack == "flask" else set())


TRAPS = {
    "http_server": (
        {
            "ThreadingHTTPServer": "HTTPServer",
            'body = self.rfile.read(int(self.headers["Content-Length"]))': "",
            "json.loads(body)": 'json.loads(self.rfile.read(int(self.headers["Content-Length"])))',
            "content = json.dumps(reply).encode()": "text = json.dumps(reply, ensure_ascii=False)",
            "str(len(content))": "str(len(text))",
            "self.wfile.write(content)": "self.wfile.write(text.encode())",
        },
        {"one-connection", "unread-body", "unicode"},
    ),
    "flask": (
        {'return {"parameters": {"hello": "good morning"}}': "return None"},
        {"status", "closes-connections"},
    ),
    "fastapi": (
        {
            'return {"node": {"message": f"seen {args[\'node\'][\'displayName\']}"}}': "return None",
            "-> dict[str, Any]": "-> Any",
            'args: dict[str, Any]) -> Any:\n    return {"parameters"': 'args: Known) -> Any:\n    return {"parameters"',
            "app = FastAPI()": "app = FastAPI()\n\n\n"
            'class Known(BaseModel, extra="forbid"):\n    workflow: dict[str, Any]\n    template: dict[str, Any]\n',
            "import uvicorn": "import uvicorn\nfrom pydantic import BaseModel",
        },
        {"not-an-object", "unknown-fields"},
    ),
    "express": (
        {
            'express.json({ limit: "64mb" })': "express.json()",
            "{ parameters: { hello: \"good morning\" } }": "{ parameters: request.body.inputs.parameters }",
        },
        {"large", "status"},
    ),
    "go": (
        {
            'HandleFunc("/parameters.add"': 'HandleFunc("/"',
            "err := json.NewDecoder(r.Body).Decode(&args)": "err := strict(r).Decode(&args)",
            "func main() {": "func strict(r *http.Request) *json.Decoder {\n\td := json.NewDecoder(r.Body)\n"
            "\td.DisallowUnknownFields()\n\treturn d\n}\n\nfunc main() {",
            "\t} `json:\"node\"`": "\t} `json:\"node\"`\n\tWorkflow, Template map[string]any",
            "\t\tDisplayName": "\t\tID, Name, Type, Phase, StartedAt string\n\t\tDisplayName",
        },
        {"unknown-path", "unknown-fields", "unknown-keys"},
    ),
}  # fmt: skip
"""What is changed in a stack's plugin, and what is found then."""


@pytest.mark.parametrize("stack", TRAPS)
def test_the_traps_of_each_stack_are_found(stack: str, tmp_path: Path, cache: Path) -> None:
    changes, expected = TRAPS[stack]
    with running(stack, tmp_path, cache, changes) as address:
        result = CliRunner().invoke(oarlock, ["verify", address, "--json", "--timeout", "30s"])
    names = {finding["name"] for finding in json.loads(result.stdout)["findings"]}
    assert (result.exit_code, names) == (1, expected)


def test_the_page_names_the_traps_as_they_are_found() -> None:
    page = (ROOT / "docs/stacks.md").read_text()
    _, in_all, *parts = re.split(r"(?m)^(?:## .*|In all of them:)$", page)
    told = {stack: set(re.findall(r"`([a-z-]+)`", part)) for stack, part in zip(STACKS, parts, strict=True)}
    everywhere = set(re.findall(r"`([a-z-]+)`", in_all))
    for stack, (_, expected) in TRAPS.items():
        assert expected - {"unknown-keys"} <= told[stack] | everywhere
    assert set().union(*told.values(), everywhere) - KINDS.keys() <= {
        "async",
        "def",
        "code",
        "dict",
        "null",
        "omitempty",
    }
