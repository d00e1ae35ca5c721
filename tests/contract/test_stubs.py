"""Types that generators make of the contract, in two languages: they compile, and plugins on them answer the engine."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Engine, Workflow
from registry import Config, EngineSettings, PluginConfig, Registry
from tests.contract.conftest import OPENAPI
from tests.processes import started_here

HERE = Path(__file__).parent
NODE_MODULES = Path(sys.prefix) / "contract"
"""Where what package.json names is installed, once for many runs."""

PYTHON = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from models import NodePreExecute, NodeReply, NodeResult


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = b""
        if self.path == "/node.preExecute":
            args = NodePreExecute.model_validate_json(body)
            image = args.template.container["image"]
            message = f"{args.node.displayName} of {args.workflow.metadata.name}: {image}"
            answer = NodeReply(node=NodeResult(phase="Succeeded", message=message))
            reply = answer.model_dump_json(exclude_unset=True).encode()
        self.send_response(200 if reply else 404)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


ANSWERED = "Succeeded", "hello of hello: alpine"


def run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def answered_by(*command: str | Path) -> tuple[str, str]:
    """Phase and message of a workflow's node by the plugin that the command starts, which says its port."""
    async with started_here(*command, stdout=asyncio.subprocess.PIPE) as plugin:
        assert plugin.stdout is not None
        port = int(await asyncio.wait_for(plugin.stdout.readline(), 60))
        config = PluginConfig(name="stub", address=f"http://127.0.0.1:{port}")
        spec = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "alpine"}}]}
        workflow = Workflow({"metadata": {"name": "hello"}, "spec": spec})
        async with Engine(Registry(Config(engine=EngineSettings(enabled=True), plugins=(config,)))) as engine:
            await engine.run([workflow])
        (node,) = workflow.nodes.values()
        return node.phase, node.message


async def test_a_plugin_on_models_for_python_answers(tmp_path: Path) -> None:
    generator = Path(sys.executable).with_name("datamodel-codegen")
    options = [
        "--input-file-type",
        "openapi",
        "--output-model-type",
        "pydantic_v2.BaseModel",
        "--formatters",
        "builtin",
    ]
    run(generator, "--input", OPENAPI, "--output", tmp_path / "models.py", *options, folder=tmp_path)
    (tmp_path / "plugin.py").write_text(PYTHON)
    assert await answered_by(sys.executable, tmp_path / "plugin.py") == ANSWERED


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder with what package.json names."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    wanted, installed = (HERE / "package.json").read_text(), NODE_MODULES / "installed.json"
    if not installed.exists() or installed.read_text() != wanted:
        NODE_MODULES.mkdir(exist_ok=True)
        (NODE_MODULES / "package.json").write_text(wanted)
        install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", str(NODE_MODULES)]
        done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install openapi-typescript: {done.stderr[-200:]}")
        installed.write_text(wanted)
    return NODE_MODULES / "node_modules"


async def test_a_plugin_on_types_for_typescript_answers(tmp_path: Path, node_modules: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    for name in ("package.json", "plugin.ts"):
        (tmp_path / name).write_text((HERE / name).read_text())
    run(node_modules / ".bin/openapi-typescript", OPENAPI, "--output", "contract.ts", folder=tmp_path)
    options = [
        "--strict",
        "--target",
        "es2022",
        "--lib",
        "es2022",
        "--module",
        "nodenext",
        "--skipLibCheck",
        "--types",
        "node",
    ]
    run(node_modules / ".bin/tsc", *options, "plugin.ts", folder=tmp_path)
    assert await answered_by("node", tmp_path / "plugin.js") == ANSWERED
