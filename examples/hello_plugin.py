"""A plugin on the SDK: it answers for every node, so that none has to run."""

from rpc.plugin import Plugin

plugin = Plugin("hello")


@plugin.on("node.preExecute")
def say_hello(args: dict[str, object]) -> dict[str, object]:
    return {"node": {"phase": "Succeeded", "message": "Hello"}}


plugin.run(port=4355)
