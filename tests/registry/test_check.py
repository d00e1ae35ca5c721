"""``python -m registry check`` against plugins that are there, are not, and are something else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from registry import PluginConfig
from registry.checking import Answered, check_plugin
from registry.cli import check, main
from rpc import Method
from rpc.examples import example_of
from rpc.methods import PATHS

OK = (200, b"{}")


def run(file: Path) -> Result:
    return CliRunner().invoke(main, ["check", "--config", str(file)], env={"COLUMNS": "140"})


def plugins(**addresses: str) -> str:
    """A busy machine has all the time it needs: a plugin that nobody could connect to in it is called all the same."""
    named = "".join(
        f'[[plugins]]\nname = "{name}"\naddress = "{address}"\ntimeout = "30s"\n' for name, address in addresses.items()
    )
    return f"[engine]\nenabled = true\n{named}"


def rows(output: str) -> list[list[str]]:
    """The cells of the table, of each line that has any."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in output.splitlines() if line.strip()]


def test_lists_methods_and_spelling(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    hello = serve({"/workflow.preOperate": OK, "/node.preExecute": (500, b"no node")})
    other = serve({"/api/v1/template.execute": OK})
    result = run(toml(plugins(hello=hello.address, other=other.address)))
    assert (result.exit_code, result.stderr) == (0, "")
    header, _, first, second, third = rows(result.stdout)
    assert header == ["plugin", "address", "methods", "spelling", "latency"]
    assert first[:4] == ["hello", hello.address, "workflow.preOperate", "short"]
    assert first[4].endswith(" ms")
    assert second == ["node.preExecute (status 500)"]
    assert third[:4] == ["other", other.address, "template.execute", "v1"]


def test_sends_the_arguments_that_the_protocol_shows(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    hello = serve()
    assert run(toml(plugins(hello=hello.address))).exit_code == 0
    assert {path.rpartition("/")[2]: json.loads(body) for path, body in hello.asked if path[1:] in list(Method)} == {
        method: example_of(method).arguments for method in Method
    }
    paths = [path for path, _ in hello.asked]
    assert paths.count("/workflow.preOperate") == 2
    assert all(paths.count(path) == 1 for path in paths if path != "/workflow.preOperate")


def test_one_that_is_not_there_fails_the_check(
    toml: Callable[[str], Path], serve: Callable[..., Any], closed_port: int
) -> None:
    hello = serve()
    result = run(toml(plugins(hello=hello.address, gone=f"http://127.0.0.1:{closed_port}")))
    assert result.exit_code == 1
    hello_row, gone_row = rows(result.stdout)[2:4]
    assert hello_row[2] == "workflow.preOperate"
    assert gone_row[0] == "gone"
    assert "connect" in gone_row[2].lower()


@pytest.mark.parametrize(
    ("answer", "problem"), [((401, b"who?"), "status 401, body: who?"), ((503, b""), "status 503, empty body")]
)
def test_one_that_will_not_have_us_fails_the_check(
    toml: Callable[[str], Path], serve: Callable[..., Any], answer: tuple[int, bytes], problem: str
) -> None:
    hello = serve({"/workflow.preOperate": answer})
    result = run(toml(plugins(hello=hello.address)))
    assert result.exit_code == 1
    assert rows(result.stdout)[2][2] == problem


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({}, "no method is answered: 404 to everything"),
        (dict.fromkeys(PATHS, (501, b"")), "no method is answered: status 501 to everything"),
        (
            {"/node.preExecute": (500, b""), "/parameters.add": (200, b"<html>")},
            "no method is answered: status 500 to node.preExecute, illegal reply to parameters.add",
        ),
    ],
)
def test_one_that_answers_no_method_fails_the_check(
    toml: Callable[[str], Path], serve: Callable[..., Any], answers: dict[str, tuple[int, bytes]], problem: str
) -> None:
    result = run(toml(plugins(hello=serve(answers).address)))
    assert result.exit_code == 1
    assert rows(result.stdout)[2][2] == problem


def test_one_that_cannot_be_trusted_is_told_once(toml: Callable[[str], Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True):
                pass

        thread = threading.Thread(target=answer)
        thread.start()
        file = toml(plugins(secret=f"https://localhost:{listening.getsockname()[1]}"))
        result = CliRunner().invoke(main, ["check", "--config", str(file)], env={"COLUMNS": "200"})
        thread.join()
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.count("unknown issuer") == 1


async def test_an_answer_that_is_no_reply_is_noted(serve: Callable[..., Any]) -> None:
    page = serve({"/workflow.preOperate": (200, b"<html>"), "/parameters.add": OK})
    checkup = await check_plugin(PluginConfig(name="page", address=page.address))
    assert checkup.answered == (
        Answered(Method.WORKFLOW_PRE_OPERATE, "short", "illegal reply"),
        Answered(Method.PARAMETERS_ADD, "short"),
    )
    assert checkup.problem is None


def test_what_was_found_can_be_had_as_json(
    toml: Callable[[str], Path], serve: Callable[..., Any], closed_port: int
) -> None:
    hello = serve({"/workflow.preOperate": OK, "/node.preExecute": (500, b"no node")})
    file = toml(plugins(hello=hello.address, gone=f"http://127.0.0.1:{closed_port}"))
    result = CliRunner().invoke(main, ["check", "--config", str(file), "--json"])
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert first.pop("latency") > 0
    assert first == {
        "name": "hello",
        "address": hello.address,
        "problem": None,
        "methods": [
            {"method": "workflow.preOperate", "spelling": "short", "problem": None},
            {"method": "node.preExecute", "spelling": "short", "problem": "status 500"},
        ],
    }
    assert (second["name"], second["latency"], second["methods"]) == ("gone", None, [])
    assert "cannot connect" in second["problem"]


def test_no_plugins_are_an_empty_list_in_json(toml: Callable[[str], Path]) -> None:
    result = CliRunner().invoke(main, ["check", "--config", str(toml("[engine]\nenabled = true\n")), "--json"])
    assert (result.exit_code, result.stdout) == (0, "[]\n")


def test_a_narrow_terminal_breaks_no_words(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    hello, sick = serve({f"/{method}": OK for method in Method}), serve({f"/{method}": (501, b"") for method in Method})
    file = toml(plugins(**{"a plugin with a long name": hello.address, "sick": sick.address}))
    program = [sys.executable, "-m", "registry", "check", "--config", str(file)]
    for columns in ("20", "60", "81"):
        ours, theirs = pty.openpty()
        subprocess.run(program, stdout=theirs, env={**os.environ, "COLUMNS": columns, "TERM": "dumb"}, check=False)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:
            while more := terminal.read(4096):
                shown += more
        assert "a plugin with a long name" in shown.decode()
        assert {hello.address, sick.address, *Method, "answered:", "everything"} <= set(shown.decode().split())


async def test_the_latency_is_that_of_one_call(serve: Callable[..., Any]) -> None:
    times = iter([10.0, 10.25])
    checkup = await check_plugin(PluginConfig(name="hello", address=serve().address), clock=lambda: next(times))
    assert checkup.latency == 0.25


def test_the_token_is_sent(toml: Callable[[str], Path], serve: Callable[..., Any], tmp_path: Path) -> None:
    hello = serve()
    (tmp_path / "token").write_text("abc\n")
    assert run(toml(plugins(hello=hello.address) + 'token_file = "token"\n')).exit_code == 0
    assert hello.tokens == {"Bearer abc"}


def test_names_are_not_taken_for_markup(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    text = plugins(hello=serve().address).replace('"hello"', '"[red]x[/red]"')
    assert rows(run(toml(text)).stdout)[2][0] == "[red]x[/red]"


def test_says_when_plugins_are_off(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    result = run(toml(plugins(hello=serve().address).replace("true", "false")))
    assert result.exit_code == 0
    assert result.stderr == "Plugins are disabled: set enabled = true in [engine], or ARGO_PLUGINS=true.\n"


def test_no_plugins_is_no_error(toml: Callable[[str], Path]) -> None:
    file = toml("[engine]\nenabled = true\n")
    result = run(file)
    assert (result.exit_code, result.stdout) == (0, f"{file}: no plugins\n")


def test_a_bad_configuration_is_one_line_and_exit_code_2(toml: Callable[[str], Path]) -> None:
    file = toml("[engine]\nenabled = 1\n")
    result = run(file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {file}: engine.enabled: expected true or false, got 1\n"


def test_the_file_is_plugins_toml_unless_said_otherwise(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "registry", "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "Error: plugins.toml: cannot be read: No such file or directory\n"


def test_the_help_says_what_is_sent() -> None:
    result = CliRunner().invoke(check, ["--help"])
    assert result.exit_code == 0
    assert "called once per spelling with the arguments that docs/protocol.md shows" in " ".join(result.output.split())
