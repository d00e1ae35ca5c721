"""The names of the protocol: six methods, and the four spellings in which plugins that exist answer to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, get_args

Spelling = Literal["short", "go", "v1"]
SPELLINGS: Final[tuple[Spelling, ...]] = get_args(Spelling)


class Method(StrEnum):
    """A canonical method name, the form in which configs, errors and statistics name it."""

    WORKFLOW_PRE_OPERATE = "workflow.preOperate"
    WORKFLOW_POST_OPERATE = "workflow.postOperate"
    NODE_PRE_EXECUTE = "node.preExecute"
    NODE_POST_EXECUTE = "node.postExecute"
    PARAMETERS_ADD = "parameters.add"
    TEMPLATE_EXECUTE = "template.execute"


class BatchMethod(StrEnum):
    """The batch of a method, which is asked for by a path of its own: many calls about nodes in one request."""

    NODE_PRE_EXECUTE = "node.preExecute.batch"
    NODE_POST_EXECUTE = "node.postExecute.batch"
    PARAMETERS_ADD = "parameters.add.batch"


Route = Method | BatchMethod
"""What has a path of its own, and is known or refused on its own."""

_SUFFIX: Final = ".batch"
BATCHES: Final[dict[Method, BatchMethod]] = {Method(batch.removesuffix(_SUFFIX)): batch for batch in BatchMethod}
"""The batch of each method that has one."""

# The proposal's Go sketch served net/rpc style names; executor plugins were later published under /api/v1.
_GO: Final[dict[Method, str]] = {
    Method.WORKFLOW_PRE_OPERATE: "WorkflowLifecycleHook.WorkflowPreOperate",
    Method.WORKFLOW_POST_OPERATE: "WorkflowLifecycleHook.WorkflowPostOperate",
    Method.NODE_PRE_EXECUTE: "NodeLifecycleHook.NodePreExecute",
    Method.NODE_POST_EXECUTE: "NodeLifecycleHook.NodePostExecute",
    Method.PARAMETERS_ADD: "ParameterSubstitutionPlugin.ParameterPreSubstitution",
    Method.TEMPLATE_EXECUTE: "TemplateExecutor.ExecuteTemplate",
}


def path(method: Route, spelling: Spelling) -> str:
    """The request path of `method` in one spelling, for example ``/api/v1/node.preExecute``."""
    if isinstance(method, BatchMethod):
        return path(Method(method.removesuffix(_SUFFIX)), spelling) + _SUFFIX
    match spelling:
        case "short":
            return f"/{method}"
        case "go":
            return f"/{_GO[method]}"
        case "v1":
            return f"/api/v1/{method}"


PATHS: Final[dict[str, Route]] = {
    path(method, spelling): method for method in (*Method, *BatchMethod) for spelling in SPELLINGS
}
"""Every path a plugin may be called at, for the side that answers."""
