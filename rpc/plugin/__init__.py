"""Being a plugin, from Python:

    from rpc.plugin import Plugin

    plugin = Plugin("hello")

    @plugin.on("node.preExecute")
    def say_hello(args):
        return {"node": {"phase": "Succeeded", "message": "Hello"}}

    plugin.run(port=4355)

A function gets the arguments of its method as a dict and returns the reply as one, or None for "nothing to say". It may
be ``async``: calls on other connections go on meanwhile. Every spelling of the protocol is answered.
"""

from rpc.plugin.server import Handler, Plugin, Unavailable

__all__ = ["Handler", "Plugin", "Unavailable"]
