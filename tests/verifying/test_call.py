"""``oarlock call``: a method called once, with no workflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from engine.cli.program import oarlock
from rpc import Method
from rpc.examples import example_of
from rpc.plugin import Plugin
from tests.verifying.conftest import Serve
from tests.verifying.peers import Request, response, served

PRE = "node.preExecute"


def call(method: str, address: str, *more: str) -> Result:
    """With all the time that a busy machine needs."""
    return CliRunner().invoke(oarlock, ["call", method, "--plugin", address, "--timeout", "30s", *more])


def verdict(result: Result) -> list[str]:
    """The lines after the last empty one."""
    return result.stdout.rstrip("\n").rpartition("\n\n")[2].splitlines()


def replying(reply: object, status: int = 200, *lines: str) -> Any:
    """An answer to the short spelling of every method."""
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()

    async def answer(request: Request) -> bytes:
        return response(status, body, *lines) if request.path[1:] in list(Method) else response(404, b"")

    return answer


@pytest.mark.parametrize("status", [200, 500, 503])
def test_a_token_that_the_plugin_sends_back_is_not_shown(serve: Serve, tmp_path: Path, status: int) -> None:
    reply = {"node": {"message": "who is s3cret-token?"}, "s3cret-token": 1}
    (tmp_path / "token").write_text("s3cret-token")
    result = call(PRE, serve(replying(reply, status)), "--token-file", str(tmp_path / "token"))
    assert "***" in result.stdout
    assert "s3cret" not in result.output


@pytest.mark.parametrize("method", list(Method))
def test_it_is_called_with_the_example_and_the_reply_is_shown(serve: Serve, method: Method) -> None:
    asked: list[Request] = []
    (reply, *_) = example_of(method).replies

    async def answer(request: Request) -> bytes:
        asked.append(request)
        return response(200, json.dumps(reply).encode())

    address = serve(answer)
    result = call(method, address)
    assert result.exit_code == 0, result.output
    (request,) = asked
    assert request.args == example_of(method).arguments
    shown, status, replied = _documents(result)
    assert result.stdout.startswith(f"POST {address}/{method}\n")
    assert (shown, replied) == (request.args, reply)
    assert status.startswith("200, ")
    assert verdict(result)


def _documents(result: Result) -> tuple[object, str, object]:
    request, _, rest = result.stdout.partition("\n\n")
    status, _, rest = rest.partition("\n")
    return json.loads(request.partition("\n")[2]), status, json.loads(rest.partition("\n\n")[0])


def test_values_are_put_into_the_arguments(serve: Serve) -> None:
    asked: list[Any] = []

    async def answer(request: Request) -> bytes:
        asked.append(request.args)
        return response(200, b"{}")

    settings = ["--set", "node.phase=Running", "--set", 'node.inputs.parameters[0]={"name": "n", "value": "5"}']
    assert call(PRE, serve(answer), *settings).exit_code == 0
    (arguments,) = asked
    assert arguments["node"]["phase"] == "Running"
    assert arguments["node"]["inputs"] == {"parameters": [{"name": "n", "value": "5"}]}
    assert "inputs" not in example_of(Method.NODE_PRE_EXECUTE).arguments["node"], "the example stays as it is"


@pytest.mark.parametrize(
    ("method", "reply", "expected"),
    [
        (PRE, {}, ["Nothing to say: nothing changes."]),
        (PRE, {"requeue": "2m"}, ["It is asked again after 120 s."]),
        (PRE, {"node": {"phase": "Failed", "message": "no"}}, [
            "node.phase: Pending -> Failed", "node.message: nothing -> no",
            "The node does not run, or is stopped; plugins after this one are not asked in this method."]),
        (PRE, {"node": {"mesage": "x"}}, [
            "Ignored: node.mesage, a key that the protocol does not know; did you mean message?"]),
        ("node.postExecute", {"node": {"message": "x"}}, ["node.message: nothing -> x"]),
        ("parameters.add", {"parameters": {"hello": "you"}}, ["parameters.hello: nothing -> you"]),
        ("template.execute", {}, ["It declines: the next plugin is asked; where all do, the node is Error."]),
        ("template.execute", {"node": {"phase": "Running"}, "requeue": "1s"}, [
            "node.phase: Pending -> Running", "It is asked again after 1 s."]),
        ("workflow.preOperate", {"workflow": {"status": {"phase": "Failed"}}}, [
            "workflow.status.phase: Running -> Failed",
            "The workflow ends: nothing is started, what runs is stopped."]),
        ("workflow.postOperate", {"workflow": {"metadata": {"labels": {"a": "b"}}}}, [
            "workflow.metadata.labels.a: nothing -> b"]),
    ],
)  # fmt: skip
def test_the_verdict_says_what_an_engine_would_do(serve: Serve, method: str, reply: Any, expected: list[str]) -> None:
    result = call(method, serve(replying(reply)))
    assert (result.exit_code, verdict(result)) == (0, expected)


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        (PRE, replying(b"<html>"), "Fatal: illegal reply: not JSON"),
        (PRE, replying({"node": {"phase": "Done"}}), "Fatal: illegal reply: Invalid enum value 'Done'"),
        (PRE, replying({"node": {"id": "other"}}), "Fatal: the node's id may not be changed from 'hello' to 'other'"),
        (PRE, replying({}, 500), "Fatal: status 500"),
        (PRE, replying({}, 302, "Location: /"), "Fatal: status 302"),
        (PRE, replying({}, 404), "404: the plugin does not have this method, and is not asked again for a minute."),
        (PRE, replying({}, 503, "Retry-After: 7"), "Transient: status 503"),
        (PRE, replying(b"x", 200, "Content-Encoding: gzip"), "Fatal: the reply has Content-Encoding 'gzip'"),
        ("workflow.preOperate", replying({"workflow": {"status": {"phase": "Refused"}}}),
         "Fatal: status.phase may not be changed from 'Running' to 'Refused'"),
    ],
)  # fmt: skip
def test_a_reply_that_is_no_good_is_exit_code_1(serve: Serve, method: str, answer: Any, expected: str) -> None:
    result = call(method, serve(answer))
    assert result.exit_code == 1
    assert verdict(result)[0].startswith(expected)
    assert result.stderr == ""


@pytest.mark.parametrize(("asked", "said"), [("7", "after 7 s"), ("86400", "after 300 s")])
def test_a_retry_after_is_said_to_be_waited_for_as_long_as_an_engine_does(serve: Serve, asked: str, said: str) -> None:
    result = call(PRE, serve(replying({}, 503, f"Retry-After: {asked}")))
    assert result.exit_code == 1
    assert said in result.stdout


def test_what_would_steer_a_terminal_is_shown_as_text(serve: Serve) -> None:
    for hostile in ("\x1b[2J\u202e\x9b", "\x07"):
        for reply in ({"node": {"message": hostile}}, hostile.encode()):
            result = call(PRE, serve(replying(reply)))
            assert all(each == "\n" or each.isprintable() for each in result.output)


def test_unix_sockets_and_tokens_are_taken_as_a_configuration_takes_them(tmp_path: Path) -> None:
    plugin = Plugin("secret", token="abc")

    @plugin.on(PRE)
    def answer(args: dict[str, Any]) -> dict[str, Any]:
        return {"node": {"message": args["node"]["displayName"]}}

    (tmp_path / "token").write_text("abc\n")
    with served(plugin, tmp_path / "s") as address:
        assert call(PRE, address).exit_code == 1
        result = call(PRE, address, "--token-file", str(tmp_path / "token"))
    assert (result.exit_code, verdict(result)) == (0, ["node.message: nothing -> hello"])
    assert result.stdout.startswith(f"POST {address}/node.preExecute\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["node.preExecut", "--plugin", "http://localhost"],
         "METHOD: 'node.preExecut' is no method of the protocol, did you mean node.preExecute?"),
        (["x", "--plugin", "http://localhost"], "METHOD: 'x' is no method of the protocol, expected one of workflow."),
        ([PRE, "--plugin", "localhost:4355"], "--plugin: 'localhost:4355' is not an http://, https:// or unix:/// "),
        ([PRE, "--plugin", "http://"], "--plugin: 'http://' has no host"),
        ([PRE, "--plugin", "http://\udcff"], "--plugin: 'http://\\udcff' has blanks or control characters in it"),
        ([PRE, "--plugin", "http://\x1b[1m"], "--plugin: 'http://\\x1b[1m' has blanks or control characters in it"),
        ([PRE, "--plugin", ""], "--plugin: '' is not an http://, https:// or unix:/// address"),
        ([PRE, "--plugin", "http://a", "--set", "node.id=5"], "--set node: id: expected a string, got a whole number"),
        ([PRE, "--plugin", "http://a", "--set", "nod.id=5"], "--set nod.id: it is sent no nod, did you mean node?"),
        ([PRE, "--plugin", "http://a", "--token-file", "nowhere"], "--token-file: cannot read nowhere: No such file"),
        ([PRE, "--plugin", "http://a", "--ca-file", "c"], "--ca-file: expected an https:// address, got http://a"),
        ([PRE, "--plugin", "https://a", "--ca-file", "nowhere"], "--ca-file: cannot read nowhere: No such file"),
        ([PRE, "--plugin", "https://a", "--key-file", "k"], "--cert-file: expected the certificate that the key is "),
        ([PRE, "--plugin", "http://a", "--timeout", "0s"], "--timeout: expected a duration greater than zero"),
        ([PRE, "--plugin", "http://a", "--set", "node.message=\udcff"],
         "--set: the arguments cannot be sent as JSON: str is not valid UTF-8"),
        ([PRE, "--plugin", "http://a", "--set", f"node.outputs={'[' * 300}{']' * 300}"], "--set node: "),
        (["workflow.preOperate", "--plugin", "http://a", "--set", "workflow.status=null"],
         "--set workflow: expected a workflow with metadata, spec and status, each of them an object"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(oarlock, ["call", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {expected}")
    assert result.stderr.count("\n") == 1


def test_nobody_home_is_one_line_and_exit_code_2(closed_port: int, tmp_path: Path) -> None:
    for address, why in (
        (f"http://127.0.0.1:{closed_port}", f"http://127.0.0.1:{closed_port}: Connection refused"),
        (f"unix://{tmp_path}/none", f"unix://{tmp_path}/none: No such file or directory"),
    ):
        result = call(PRE, address)
        assert (result.exit_code, result.stdout) == (2, "")
        told = f"Error: --plugin: nobody answers at {why}; start the plugin, or give its address\n"
        assert result.stderr == told


def test_an_unknown_certificate_is_one_line_and_exit_code_2(authority: trustme.CA, https: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "call", PRE, "--plugin", https]
    refused = call(PRE, https)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"Error: --plugin: TLS with {https} failed: unknown issuer: ")
    assert refused.stderr.endswith("; give the certificate of who signed it with --ca-file\n")
    assert refused.stderr.count("\n") == 1
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    environment = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    given = call(PRE, https, "--ca-file", str(tmp_path / "ca.pem"))
    assert (given.exit_code, given.stderr) == (0, "")


def test_a_plugin_that_asks_for_our_certificate_is_shown_it(
    authority: trustme.CA, guarded: str, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours = authority.issue_cert("engine")
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o600)
    trusting = ("--ca-file", str(tmp_path / "ca.pem"))
    refused = call(PRE, guarded, *trusting)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "client certificate" in refused.stderr
    assert refused.stderr.endswith("; give ours with --cert-file and --key-file\n")
    showing = ("--cert-file", str(tmp_path / "cert.pem"), "--key-file", str(tmp_path / "key.pem"))
    done = call(PRE, guarded, *trusting, *showing)
    assert (done.exit_code, done.stderr) == (0, "")
    verified = CliRunner().invoke(oarlock, ["verify", guarded, "--timeout", "30s", *trusting, *showing])
    assert verified.exit_code != 2
    assert PRE in verified.stdout
