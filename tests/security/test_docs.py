"""The commands of docs/security.md do what it says."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Registry
from tests.examples.conftest import ROOT
from tests.security.servers import SecureServer

PAGE = (ROOT / "docs/security.md").read_text()


def fenced(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_both_sides_prove_who_they_are(
    serve: Callable[..., SecureServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: Callable[[], str]
) -> None:
    commands = ["sh", "-ec", fenced("sh")]
    await asyncio.to_thread(subprocess.run, commands, cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, ssl.SSLContext] = {}
    exec(fenced("python"), {"ssl": ssl}, names)
    server = serve(names["context"])
    (tmp_path / "plugins.toml").write_text(fenced("toml").replace("https://localhost:4355", server.address))
    async with Registry("plugins.toml") as registry:
        assert await registry.snapshot()[0].client.call("workflow.preOperate", {}) == {}
    assert "level=warning" not in logs()
