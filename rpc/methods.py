"""The methods of the protocol: what each is sent, what it may reply, and the three spellings of its path."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, Never, get_args

Spelling = Literal["short", "go", "v1"]
SPELLINGS: Final[tuple[Spelling, ...]] = get_args(Spelling)

ReplyKind = Literal["workflow", "node", "parameters", "nothing"]
"""What a reply is about; `rpc.replies` has a type for each."""


class Method(StrEnum):
    """A method by its canonical name, the form in which configurations, errors and statistics name it.

    ``go`` is its name in the proposal's Go sketch, ``arguments`` are the keys of the object that it is sent, ``reply``
    is what it may reply, ``batched`` says whether many calls may share a request, ``requeues`` whether a reply may
    ask for another call later.
    """

    WORKFLOW_PRE_OPERATE = (
        "workflow.preOperate",
        "WorkflowLifecycleHook.WorkflowPreOperate",
        ("workflow",),
        "workflow",
    )
    WORKFLOW_POST_OPERATE = (
        "workflow.postOperate",
        "WorkflowLifecycleHook.WorkflowPostOperate",
        ("old", "new"),
        "workflow",
    )
    NODE_PRE_EXECUTE = (
        "node.preExecute",
        "NodeLifecycleHook.NodePreExecute",
        ("workflow", "template", "node"),
        "node",
        True,
        True,
    )
    NODE_POST_EXECUTE = (
        "node.postExecute",
        "NodeLifecycleHook.NodePostExecute",
        ("workflow", "template", "old", "new"),
        "node",
        True,
    )
    PARAMETERS_ADD = (
        "parameters.add",
        "ParameterSubstitutionPlugin.ParameterPreSubstitution",
        ("workflow", "template"),
        "parameters",
        True,
    )
    TEMPLATE_EXECUTE = (
        "template.execute",
        "TemplateExecutor.ExecuteTemplate",
        ("workflow", "template", "node"),
        "node",
        False,
        True,
    )
    TEMPLATE_STOP = (
        "template.stop",
        "TemplateExecutor.StopTemplate",
        ("workflow", "template", "node"),
        "nothing",
    )

    go: str
    arguments: tuple[str, ...]
    reply: ReplyKind
    batched: bool
    requeues: bool

    def __new__(
        cls,
        name: str,
        go: str = "",
        arguments: tuple[str, ...] = (),
        reply: ReplyKind = "node",
        batched: bool = False,
        requeues: bool = False,
    ) -> Method:
        method = str.__new__(cls, name)
        method._value_ = name
        method.go, method.arguments, method.reply = go, arguments, reply
        method.batched, method.requeues = batched, requeues
        return method

    @classmethod
    def _missing_(cls, value: object) -> Never:
        raise ValueError(f"{value!r} is not a valid Method, {cls.hint(value)}")

    @classmethod
    def hint(cls, name: object) -> str:
        """Which method a name that is none may have meant."""
        import difflib  # which few need

        close = difflib.get_close_matches(str(name), list(cls), 1)
        return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(cls)}"

    # An enum hashes its name, in Python; a path is looked up for every call.
    __hash__ = str.__hash__


class BatchMethod(str):
    """The batch of a method, which is asked for by a path of its own: many calls about nodes in one request."""

    method: Method

    def __new__(cls, method: Method) -> BatchMethod:
        batch = super().__new__(cls, f"{method}.batch")
        batch.method = method
        return batch


Route = Method | BatchMethod
"""What has a path of its own, and is known or refused on its own."""

BATCHES: Final[dict[Method, BatchMethod]] = {method: BatchMethod(method) for method in Method if method.batched}
"""The batch of each method that has one."""


def path(route: Route, spelling: Spelling) -> str:
    """The request path of `route` in one spelling, for example ``/api/v1/node.preExecute``.

    The proposal's Go sketch served net/rpc style names; executor plugins were later published under ``/api/v1``.
    """
    if isinstance(route, BatchMethod):
        return f"{path(route.method, spelling)}.batch"
    match spelling:
        case "short":
            return f"/{route}"
        case "go":
            return f"/{route.go}"
        case "v1":
            return f"/api/v1/{route}"


PATHS: Final[dict[str, Route]] = {
    path(route, spelling): route for route in (*Method, *BATCHES.values()) for spelling in SPELLINGS
}
"""Every path a plugin may be called at, for the side that answers."""
