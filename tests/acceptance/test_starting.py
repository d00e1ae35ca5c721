"""What a command does not import, since nothing that it does needs it: that is what starting takes its time with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.fixtures import RunPython

PLUGINS = {"aiohttp", "httptools", "rpc.client", "registry.registry", "tenacity", "watchfiles"}
"""What only calls of plugins, and the configuration of them, need."""
ENGINE = {"asyncio", "engine.engine", "engine.manifests", "lark", "re2", "uvloop", "yaml"}
DISPLAY = {"rich"}
LOCAL = {"engine.executors.local"}

STARTED = """
import json, sys
from engine.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        (["--help"], sorted(PLUGINS | ENGINE | DISPLAY)),
        (["--version"], sorted(PLUGINS | ENGINE | DISPLAY)),
        (["run", "--help"], sorted(PLUGINS | ENGINE | DISPLAY)),
        (["run", "wf.json"], sorted(PLUGINS | LOCAL | {"rich.progress", "rich.live"})),
        (["run", "wf.json", "--output", "json"], sorted(PLUGINS | LOCAL | DISPLAY)),
    ],
    ids=["help", "version", "help of a command", "run", "run to json"],
)
def test_a_command_imports_only_what_it_needs(
    process: RunPython, tmp_path: Path, arguments: list[str], spared: list[str]
) -> None:
    container = {"name": "main", "container": {"image": "busybox"}}
    manifest = {"kind": "Workflow", "metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [container]}}
    (tmp_path / "wf.json").write_text(json.dumps(manifest))
    done = process("-c", STARTED, *arguments)
    code, modules = json.loads(done.err.splitlines()[-1])
    assert code == 0
    assert not {*spared} & {*modules}


def test_without_its_lane_there_is_no_aiohttp(process: RunPython) -> None:
    code = """
import asyncio, sys
from rpc import Client

async def main():
    async with Client('http://localhost:1'), Client('https://localhost:1'):
        print('aiohttp' in sys.modules)

asyncio.run(main())
"""
    done = process("-c", code)
    assert done.out == "False\n"
