"""Gives templates variables from outside: the files of PARAMETERS_DIR/<namespace>, as a ConfigMap is mounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rpc.plugin import Plugin

folder = Path(os.environ.get("PARAMETERS_DIR", Path(__file__).parent / "values"))

plugin = Plugin("parameters")


@plugin.on("parameters.add")
def add(args: dict[str, Any]) -> dict[str, Any]:
    files = (folder / args["workflow"]["metadata"]["namespace"]).glob("[!.]*")
    return {"parameters": {file.name: file.read_text().rstrip("\n") for file in files}}


if __name__ == "__main__":
    plugin.run(port=4355)
