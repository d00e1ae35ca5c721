"""On the SDK, which comes with Oarlock: `python examples/stacks/sdk/plugin.py`."""

from typing import Any

from rpc.plugin import Plugin

plugin = Plugin("sdk")


@plugin.on("node.preExecute")
def pre_execute(args: dict[str, Any]) -> dict[str, Any]:
    return {"node": {"message": f"seen {args['node']['displayName']}"}}


@plugin.on("parameters.add")
def add_parameters(args: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": {"hello": "good morning"}}


plugin.run(port=4355)
