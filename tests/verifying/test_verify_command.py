"""``oarlock verify`` on the command line: what is written, where, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from engine.cli.program import oarlock
from rpc.plugin import Plugin
from tests.verifying.conftest import Serve
from tests.verifying.mutants import ADD, PRE, add, fails_where, plugin, seen
from tests.verifying.peers import Request, response, served


def verify(*arguments: str) -> Result:
    """With all the time that a busy machine needs."""
    return CliRunner().invoke(oarlock, ["verify", "--timeout", "30s", *arguments])


def no_body_of_more_than_100_kb(serve: Serve) -> str:
    return serve(fails_where(lambda request: len(request.body) > 100_000, 413)())


def test_a_healthy_plugin_is_exit_code_0_and_a_table(serve: Serve) -> None:
    address = serve(plugin({PRE: seen, ADD: add}))
    result = verify(address)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert rows[0] == ["method", "path", "batches", "call", "result"]
    assert rows[2][:3] + rows[2][5:] == ["node.preExecute", PRE, "no", "good"]
    assert rows[3][:3] + rows[3][5:] == ["parameters.add", ADD, "no", "good"]
    assert result.stdout.splitlines()[-1].startswith(f"{address}: 0 faults, 0 warnings; 25 things tried with ")


def test_a_fault_is_exit_code_1_and_says_what_where_why_and_what_to_do(serve: Serve) -> None:
    result = verify(no_body_of_more_than_100_kb(serve))
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    at = lines.index("fault: large at /node.preExecute")
    assert lines[at + 1] == "  status 413, body: no"
    assert lines[at + 2].startswith("  Why: ")
    assert lines[at + 3].startswith("  Do: ")
    assert ": 1 fault, 0 warnings; " in lines[-1]


def test_a_warning_is_exit_code_0(serve: Serve) -> None:
    result = verify(serve(plugin({PRE: lambda args: {"node": {"mesage": "x"}}})))
    assert result.exit_code == 0
    assert "warning: unknown-keys at /node.preExecute\n  node.mesage; did you mean message?" in result.stdout


def test_a_token_that_a_plugin_sends_back_is_not_shown(serve: Serve, tmp_path: Path) -> None:
    async def answer(request: Request) -> bytes:
        said = request.headers["authorization"]
        if request.path == PRE:
            return response(200, json.dumps({"node": {"message": said}, said: 1}).encode())
        if request.path == ADD:
            return f"{said}\r\n\r\n".encode()
        return response(404, said.encode())

    (tmp_path / "token").write_text("s3cret-token")
    arguments = serve(answer), "--token-file", str(tmp_path / "token"), "--junit", str(tmp_path / "report.xml")
    shown = [verify(*arguments).output, verify(*arguments, "--json").output, (tmp_path / "report.xml").read_text()]
    for text in shown:
        assert "***" in text
        assert "s3cret" not in text


def test_what_a_plugin_says_steers_no_terminal(serve: Serve, tmp_path: Path) -> None:
    hostile = "\x1b[2J\u202e\x9b\x07\ufffe"
    address = serve(plugin({PRE: lambda args: {"node": {"phase": hostile}, hostile: 1}}))
    result = verify(address, "--junit", str(tmp_path / "report.xml"))
    assert result.exit_code == 1
    assert all(each == "\n" or each.isprintable() for each in result.output)
    ElementTree.parse(tmp_path / "report.xml")


def test_what_was_found_can_be_had_as_json(serve: Serve) -> None:
    address = no_body_of_more_than_100_kb(serve)
    result = verify(address, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    (method,) = document.pop("methods")
    assert method.pop("seconds") > 0
    assert method == {"method": "node.preExecute", "spelling": "short", "path": PRE, "batches": False}
    (finding,) = document.pop("findings")
    assert finding.pop("why")
    assert finding.pop("change")
    assert finding == {
        "name": "large",
        "severity": "fault",
        "check": "large",
        "method": "node.preExecute",
        "path": PRE,
        "what": "status 413, body: no",
    }
    results = {check["check"]: check["result"] for check in document.pop("checks")}
    assert results["large"] == "fault"
    assert {result for check, result in results.items() if check != "large"} == {"good"}
    assert document.pop("requests") > 50
    assert document == {"address": address, "passed": False}


def test_what_was_found_can_be_had_for_ci(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    assert verify(no_body_of_more_than_100_kb(serve), "--junit", str(file)).exit_code == 1
    suite = ElementTree.parse(file).getroot()
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (str(len(cases)), "1", "0")
    (case,) = (case for case in cases if case.find("failure") is not None)
    assert (case.get("classname"), case.get("name")) == ("node.preExecute", "large")
    failure = case.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("large", "status 413, body: no")


def test_nothing_more_is_tried_where_the_example_is_not_answered(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    result = verify(serve(plugin({PRE: seen}, lambda body: response(500, b"no"))), "--json", "--junit", str(file))
    checks = json.loads(result.stdout)["checks"]
    assert {check["result"] for check in checks if check["check"] not in ("unknown-path", "example")} == {"skipped"}
    skipped = ElementTree.parse(file).getroot().findall("testcase/skipped")
    assert {each.get("message") for each in skipped} == {"the example is not answered"}


def test_a_plugin_at_a_unix_socket_that_wants_a_token_is_verified_with_it(tmp_path: Path) -> None:
    healthy = Plugin("secret", token="abc")
    healthy.on("node.preExecute")(seen)
    (tmp_path / "token").write_text("abc\n")
    with served(healthy, tmp_path / "s") as address:
        refused = json.loads(verify(address, "--json").stdout)
        result = verify(address, "--token-file", str(tmp_path / "token"))
    assert {finding["name"] for finding in refused["findings"]} == {"token"}
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["localhost:4355"], "URL: 'localhost:4355' is not an http://, https:// or unix:/// address"),
        (["http://"], "URL: 'http://' has no host"),
        (["http://\udcff"], "URL: 'http://\\udcff' has blanks or control characters in it"),
        (["http://a b"], "URL: 'http://a b' has blanks or control characters in it"),
        (["http://a", "--token-file", "nowhere"], "--token-file: cannot read nowhere: No such file or directory"),
        (["unix:///nowhere/at/all"],
         "URL: nobody answers at unix:///nowhere/at/all: No such file or directory; start the plugin, or give its "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], expected: str) -> None:
    result = verify(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {expected}")
    assert result.stderr.count("\n") == 1


def test_nobody_home_is_one_line_and_exit_code_2(closed_port: int) -> None:
    result = verify(f"http://127.0.0.1:{closed_port}")
    assert (result.exit_code, result.stdout) == (2, "")
    where = f"http://127.0.0.1:{closed_port}"
    told = f"Error: URL: nobody answers at {where}: Connection refused; start the plugin, or give its address\n"
    assert result.stderr == told


def test_a_report_that_cannot_be_written_is_exit_code_2(serve: Serve, tmp_path: Path) -> None:
    result = verify(serve(plugin({PRE: seen})), "--junit", str(tmp_path))
    assert (result.exit_code, result.stderr) == (2, f"Error: --junit: {tmp_path}: Is a directory\n")


def test_an_unknown_certificate_is_one_line_and_exit_code_2(https: str) -> None:
    result = verify(https)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("; give the certificate of who signed it with --ca-file\n")
    assert result.stderr.count("\n") == 1
