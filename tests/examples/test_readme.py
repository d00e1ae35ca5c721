"""The README is run as it is written, from top to bottom, in one checkout."""

from __future__ import annotations

import re
import subprocess

from registry import load_config
from tests.examples.conftest import ROOT, Checkout

README = (ROOT / "README.md").read_text()


def blocks() -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    found: list[tuple[str, str]] = re.findall(r"(?ms)^```(\w+)\n(.*?)^```", README)
    return found


def printed(text: str) -> str:
    """What is to be compared of some output: no padding, and no time that a call took."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return re.sub(r" *\b\d+\.\d ms", " N ms", "\n".join(lines))


def test_every_block_of_the_readme_does_what_it_says(checkout: Checkout) -> None:
    compared = 0
    said = ""
    for language, text in blocks():
        if language == "sh" and text.startswith("make "):
            for command in re.findall(r"(?m)^make \w+", text):
                subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, check=True, capture_output=True)
        elif language == "sh" and text.startswith("# leave this running\n"):
            checkout.leave_running(text.removeprefix("# leave this running\n").strip())
        elif language == "sh":
            said = checkout.run(text)
        elif language == "python" and "plugin.run(" in text:
            assert text == (ROOT / "examples/hello_plugin.py").read_text()
        elif language == "python" and "from hera" in text:
            assert text == (ROOT / "examples/words.py").read_text()
        elif language == "python":
            (checkout.folder / "snippet.py").write_text(checkout.translate(text))
            said = checkout.run(".venv/bin/python snippet.py")
        elif language == "toml":
            assert text == (ROOT / "examples/plugins.toml").read_text()
            load_config(ROOT / "examples/plugins.toml")
        else:
            assert language == "text", f"nothing checks a block of {language}"
            assert printed(said) == printed(checkout.translate(text))
            compared += 1
    assert compared == README.count("```text")


def test_the_library_snippet_prints_what_the_plugin_said(checkout: Checkout) -> None:
    checkout.leave_running(".venv/bin/python examples/hello_plugin.py")
    (snippet,) = [text for language, text in blocks() if language == "python" and "Engine.from_config" in text]
    (checkout.folder / "snippet.py").write_text(checkout.translate(snippet))
    assert checkout.run(".venv/bin/python snippet.py").splitlines()[-1] == "Succeeded Hello"


def test_every_command_of_contributing_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for command in re.findall(r"(?m)^make (\w+)", text):
        subprocess.run(["make", "-n", command], cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
