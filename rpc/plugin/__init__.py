"""Being a plugin, from Python:

    from rpc.plugin import Plugin

    plugin = Plugin("hello")

    @plugin.on("node.preExecute")
    def say_hello(args):
        return {"node": {"phase": "Succeeded", "message": "Hello"}}

    plugin.run(port=4355)

A function gets the arguments of its method as a dict and returns the reply as one, or None for "nothing to say". It may
be ``async``, and one that is not may block, since it runs in a thread: calls on other connections go on meanwhile.
Every spelling of the protocol is answered.

With a parameter that is annotated with what the method is sent, it gets that, and an editor knows what is in it:

    @plugin.on("node.preExecute")
    def say_hello(args: NodePreExecute):
        return {"node": {"phase": "Succeeded"}} if args.node.display_name == "hello" else None

Batches are answered by calling it for each of their calls. A function that had rather have them all at once, to look
them up in one query, say, gets a list of arguments and returns a list of replies:

    @plugin.on_batch("node.preExecute")
    async def look_up(calls):
        found = await database.find([args["node"]["id"] for args in calls])
        return [{"node": {"message": each}} if each else None for each in found]
"""

from rpc.arguments import (
    JobNode,
    NodePostExecute,
    NodePreExecute,
    NodeStatus,
    ParametersAdd,
    Template,
    TemplateExecute,
    TemplateStop,
    Workflow,
    WorkflowPostOperate,
    WorkflowPreOperate,
)
from rpc.plugin.answers import BatchHandler, Handler, Unavailable
from rpc.plugin.calls import Call
from rpc.plugin.server import Plugin

__all__ = [
    "BatchHandler",
    "Call",
    "Handler",
    "JobNode",
    "NodePostExecute",
    "NodePreExecute",
    "NodeStatus",
    "ParametersAdd",
    "Plugin",
    "Template",
    "TemplateExecute",
    "TemplateStop",
    "Unavailable",
    "Workflow",
    "WorkflowPostOperate",
    "WorkflowPreOperate",
]
