"""What reaches a person's terminal, and what is said when it cannot: output, control sequences, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.terminal import printable
from tests.acceptance.fixtures import RunOarlock, RunPython
from tests.acceptance.manifests import container, workflow
from tests.processes import PATIENCE, started

HOSTILE = "\x1b[2Jgone \x9b31m\u202etxt\x07\x7f\nforged"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "wf.yaml").write_text(yaml.safe_dump(workflow(container("main")).to_dict()))
    return tmp_path / "wf.yaml"


def steered(text: str) -> set[str]:
    return {each for each in text if each != "\n" and not each.isprintable()}


class TestControlSequences:
    """Of a plugin and of a manifest, on every way to the terminal."""

    def test_a_message_of_a_leaf(self, oarlock: RunOarlock, file: Path) -> None:
        Path("o.yaml").write_text(json.dumps({"main": {"phase": "Failed", "message": HOSTILE}}))
        for output in ("summary", "json", "yaml"):
            done = oarlock("run", str(file), "--outcomes", "o.yaml", "--output", output)
            assert done.code == 1
            assert not steered(done.out + done.err)
        assert yaml.safe_load(done.out)["status"]["message"] == HOSTILE

    def test_json_is_the_same_to_who_reads_it(self, oarlock: RunOarlock, file: Path) -> None:
        Path("o.yaml").write_text(json.dumps({"main": {"phase": "Failed", "message": HOSTILE}}))
        done = oarlock("run", str(file), "--outcomes", "o.yaml", "--output", "json")
        assert json.loads(done.out)["status"]["message"] == HOSTILE

    def test_an_error(self, oarlock: RunOarlock) -> None:
        Path("wf.yaml").write_text(json.dumps({"kind": "Workflow", "spec": {HOSTILE: 1}}))
        done = oarlock("run", "wf.yaml")
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "spec.\\x1b[2Jgone \\x9b31m\\u202etxt" in done.err
        assert not steered(done.err)

    def test_a_log_line(self, oarlock: RunOarlock, file: Path) -> None:
        document = yaml.safe_load(file.read_text())
        document["spec"][HOSTILE] = 1
        file.write_text(json.dumps(document))
        done = oarlock("run", str(file), "--no-strict", "--verbose")
        assert "unknown field" in done.err
        assert not steered(done.out + done.err)

    def test_a_usage_error(self, oarlock: RunOarlock, file: Path) -> None:
        done = oarlock("run", str(file), "--output", HOSTILE)
        assert done.code == 2
        assert "'summary', 'json', 'yaml'" in done.err
        assert not steered(done.err)

    def test_of_a_plugin(self, oarlock: RunOarlock, file: Path) -> None:
        Path("plugins.toml").write_text(
            f'[engine]\nenabled = true\n[[plugins]]\nname = {json.dumps(HOSTILE[:4])}\naddress = "http://127.0.0.1:1"\n'
        )
        done = oarlock("check", "--config", "plugins.toml")
        assert not steered(done.out + done.err)

    def test_text_in_any_language_is_left_alone(self) -> None:
        assert printable("grüße, 你好, שלום, 🚣") == "grüße, 你好, שלום, 🚣"
        assert printable("\ud800") == "\\ud800"


class TestOutput:
    def test_a_summary_that_is_piped_is_not_wrapped(self, process: RunPython, file: Path) -> None:
        (file.parent / "o.yaml").write_text(json.dumps({"main": {"phase": "Failed", "message": "long " * 100}}))
        done = process("-m", "engine", "run", "wf.yaml", "--outcomes", "o.yaml")
        assert len(done.out.splitlines()) == 2
        assert "long " * 99 in done.out.splitlines()[1]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
    @pytest.mark.parametrize("more", [[], ["--output", "json"], ["--output", "yaml"], ["--help"]])
    def test_a_full_one_is_an_error_of_one_line(self, file: Path, more: list[Any]) -> None:
        command = [sys.executable, "-m", "engine", "run", str(file), *more]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, "Error: standard output: No space left on device\n")

    @pytest.mark.parametrize("output", ["summary", "json"])
    def test_one_that_nobody_reads_is_an_error_of_one_line(self, file: Path, output: str) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "engine", "run", str(file), "--output", output]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (2, "Error: standard output: Broken pipe\n")

    @pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-"])
    def test_a_closed_one_is_told_before_anything_runs(self, file: Path, redirection: str) -> None:
        command = f"exec '{sys.executable}' -m engine run '{file}' {redirection}"
        done = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == ("Error: standard output is closed\n" if redirection == ">&-" else "")


class TestStandardError:
    """What is told there is lost where it cannot be written, and nothing else is."""

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
    @pytest.mark.parametrize(("names", "code"), [((), 0), (("gone.yaml",), 2)])
    def test_a_full_one_changes_no_exit_code(self, file: Path, names: tuple[str, ...], code: int) -> None:
        command = [sys.executable, "-m", "engine", "run", str(file), "--no-strict", "--verbose", *names]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
        assert done.returncode == code
        assert bool(done.stdout) == (code == 0)

    def test_one_that_nobody_reads_any_more_does_not_end_a_server(self, file: Path) -> None:
        """Each pass is aborted, since the plugin is not there, and each of them is logged."""
        (file.parent / "plugins.toml").write_text(
            '[engine]\nenabled = true\n[[plugins]]\nname = "gone"\naddress = "http://127.0.0.1:1"\n'
        )
        command = (sys.executable, "-m", "engine", "serve", file.name, "--config", "plugins.toml")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with started(*command, "--listen", "127.0.0.1:0", cwd=file.parent, stderr=subprocess.PIPE) as server:
            assert server.stderr is not None
            url = next(line for line in server.stderr if line.startswith("listening on ")).split()[-1]
            server.stderr.close()
            aborted, told = "", re.compile(r'duration_seconds_count{result="aborted"} ([0-9.]+)')
            while not aborted or float(aborted) < 3:
                with opener.open(f"{url}/metrics") as metrics:
                    (aborted,) = told.findall(metrics.read().decode())
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0


class TestInterrupting:
    """Ctrl-C where no pass is under way; `test_signals` has those that are."""

    def test_while_a_manifest_is_read(self, file: Path) -> None:
        reading, writing = os.pipe()
        command = (sys.executable, "-m", "engine", "run", "-")
        with started(*command, stdin=reading, stderr=subprocess.PIPE) as process:
            os.write(writing, b"# a line\n" * 20_000)  # more than a pipe holds: it is being read
            process.send_signal(signal.SIGINT)
            _, told = process.communicate()
        assert told == ""
        assert process.returncode == 130
        os.close(reading)
        os.close(writing)

    def test_while_a_plugin_does_not_answer(self, file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            (file.parent / "plugins.toml").write_text(
                '[engine]\nenabled = true\n[[plugins]]\nname = "dark"\n'
                f'address = "http://127.0.0.1:{server.getsockname()[1]}"\ntimeout = "60s"\n'
            )
            command = (sys.executable, "-m", "engine", "check", "--config", "plugins.toml")
            with (
                started(*command, cwd=file.parent, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process,
                server.accept()[0] as connection,
            ):
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                assert process.communicate() == ("", "")
            assert process.returncode == 130

    def test_nothing_that_takes_time_is_imported_before_it_is_provided_for(self, process: RunPython) -> None:
        code = "import sys, engine.cli; print(*{'click', 'aiohttp', 'msgspec', 'rich'} & {*sys.modules})"
        assert process("-c", code).out == "\n"
