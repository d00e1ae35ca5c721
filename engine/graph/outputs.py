"""What nodes leave for others to read: variables of finished steps, aggregates of loops, outputs of templates."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, Final

import orjson

from engine.expressions import ExpressionError, evaluate
from engine.expressions.errors import Invalid
from engine.expressions.gotext import go_json, go_string
from engine.graph.nodes import NodeStore
from engine.model.node import POD, RETRY, SUCCEEDED, Node
from engine.model.pace import PIECE
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, environment, item_text, render_string
from engine.substitution.variables import compact_json, text_of
from engine.templates.template import Template

THIS_HOST: Final = "localhost"
"""Where a pod is of which its executor does not say: a workflow that reads it is not to wait for ever."""


class OutputError(Exception):
    """An output that cannot be had; the message is the node's."""


def spokesman(node: Node, store: NodeStore) -> Node:
    """The node whose variables count for this one: of a retried one its last attempt (Argo's buildLocalScope)."""
    if node.type == RETRY and not (node.memoization_status or {}).get("hit"):
        for child in reversed(node.children or ()):
            attempt = store[child]
            if not (attempt.node_flag or {}).get("hooked"):
                return attempt
    return node


def step_variables(prefix: str, node: Node) -> dict[str, Any]:
    """The variables that a node defines for its successors under ``steps.<name>`` or ``tasks.<name>``."""
    variables: dict[str, Any] = {f"{prefix}.id": node.id, f"{prefix}.status": node.phase}
    if node.started_at:
        variables[f"{prefix}.startedAt"] = node.started_at
    if node.finished_at:
        variables[f"{prefix}.finishedAt"] = node.finished_at
    if node.pod_ip:
        variables[f"{prefix}.ip"] = node.pod_ip
    if node.host_node_name or node.type == POD:
        variables[f"{prefix}.hostNodeName"] = node.host_node_name or THIS_HOST
    outputs = node.outputs or {}
    if outputs.get("result") is not None:
        variables[f"{prefix}.outputs.result"] = outputs["result"]
    if outputs.get("exitCode") is not None:
        variables[f"{prefix}.exitCode"] = outputs["exitCode"]
    for parameter in outputs.get("parameters") or ():
        if parameter.get("value") is not None:
            variables[f"{prefix}.outputs.parameters.{parameter['name']}"] = text_of(parameter["value"])
    for artifact in outputs.get("artifacts") or ():
        variables[f"{prefix}.outputs.artifacts.{artifact['name']}"] = artifact
    return variables


def default_variables(prefix: str, template: Template, scope: Scope, *, artifacts: bool) -> dict[str, Any]:
    """What a node that never ran defines: its declared outputs with their defaults, None where they have none.

    ``artifacts`` gives its artifacts, too, as artifacts that lie nowhere: those of a step can be passed on to where
    they are optional, those of a DAG's task cannot (Argo's addSkippedNodeOutputsToScope).
    """
    variables: dict[str, Any] = {}
    for parameter in template.outputs.get("parameters") or ():
        default = (parameter.get("valueFrom") or {}).get("default")
        value = None if default is None else render_string(text_of(default), scope)
        variables[f"{prefix}.outputs.parameters.{parameter['name']}"] = value
    if artifacts:
        for artifact in template.outputs.get("artifacts") or ():
            variables[f"{prefix}.outputs.artifacts.{artifact['name']}"] = {"name": artifact["name"]}
    return variables


def loop_variables(prefix: str, nodes: Iterable[Node], *, results: bool) -> Generator[None, None, dict[str, Any]]:
    """The outputs of a loop's turns as JSON lists, in the order of the items (Argo's processAggregateNodeOutputs).

    ``results`` says whether anybody reads the turns' results: Argo captures no other. Raises `OutputError` where one
    that is read is no JSON.
    """
    found: list[str] = []
    parameters: list[dict[str, str]] = []
    lists: dict[str, list[str]] = {}
    for node in nodes:
        yield
        outputs = node.outputs
        if not outputs or node.phase != SUCCEEDED:
            continue
        if outputs.get("parameters"):
            values = {each["name"]: text_of(each.get("value", "")) for each in outputs["parameters"]}
            parameters.append(values)
            for name, value in values.items():
                lists.setdefault(name, []).append(value)
        if results and outputs.get("result") is not None:
            try:
                orjson.loads(outputs["result"])
            except orjson.JSONDecodeError as error:
                raise OutputError(f"result of {node.display_name!r} is not JSON: {outputs['result']!r}") from error
            found.append(compact_json(outputs["result"].encode()))
    variables = {f"{prefix}.outputs.parameters": (yield from _json(parameters))}
    if results:
        variables[f"{prefix}.outputs.result"] = f"[{','.join(found)}]"
    for name, listed in lists.items():
        variables[f"{prefix}.outputs.parameters.{name}"] = yield from _list(listed)
    return variables


def _list(values: list[str]) -> Generator[None, None, str]:
    """Texts as a JSON list; where every one of them is a JSON list or map itself, as a list of those."""
    decoded = []
    for value in values:
        try:
            decoded.append(orjson.loads(value) if value.lstrip()[:1] in ("[", "{") else None)
        except orjson.JSONDecodeError:
            decoded.append(None)
        if decoded[-1] is None:
            return (yield from _json(values))
        yield
    return (yield from _json(decoded))


def _json(values: list[Any]) -> Generator[None, None, str]:
    """`go_json` of a list that may have very many elements."""
    parts = []
    for at in range(0, len(values), PIECE):
        parts.append(go_json(values[at : at + PIECE])[1:-1])
        yield
    return f"[{','.join(parts)}]"


def template_outputs(template: Template, scope: Scope) -> dict[str, Any] | None:
    """The outputs of a steps or DAG template, read from its finished children.

    Raises `OutputError` where a required one has no value and no default.
    """
    try:
        declared = _declared(template, scope)
    except SubstitutionError as error:
        raise OutputError(str(error)) from error
    outputs: dict[str, Any] = {}
    if declared.get("parameters"):
        outputs["parameters"] = [_parameter(parameter, scope) for parameter in declared["parameters"]]
    try:
        # To Argo one that is taken from nowhere, and lies where it says, is none.
        taken = [each for each in declared.get("artifacts") or () if each.get("from") or each.get("fromExpression")]
        found = [resolve_artifact(artifact, scope, _ABSENT) for artifact in taken]
    except OutputError as error:
        raise OutputError(f"unable to resolve outputs from scope: {error}") from error
    artifacts = [artifact for artifact in found if artifact is not None]
    if artifacts:
        outputs["artifacts"] = artifacts
    return outputs or None


def _declared(template: Template, scope: Scope) -> Document:
    """The template's outputs as it declares them: filled in, as all of it, before its children have left anything."""
    if not template.declared.tags:
        return template.outputs
    known = scope.flatten()
    own = Scope(None, {name: known[name] for name in known if not name.startswith(_PRODUCED)})
    own.now = scope.clock()
    declared: Document = orjson.loads(template.declared.render(own, allow_unresolved=True))
    return declared


def _parameter(parameter: Document, scope: Scope) -> dict[str, Any]:
    source = parameter.get("valueFrom")
    if not source:
        raise OutputError("output parameters must have a valueFrom specified")
    kept = {key: value for key, value in parameter.items() if key != "valueFrom"}
    try:
        if source.get("expression"):
            result = evaluate(source["expression"], environment(_produced(scope)), clock=scope.clock)
            if result is None:
                raise OutputError(f'failed to evaluate expression "{source["expression"]}"')
            return {**kept, "value": go_string(result)}
        found = _reference(source.get("parameter") or "", scope)
    except (ExpressionError, Invalid, OutputError) as error:
        if source.get("default") is None:
            raise OutputError(str(error)) from error
        found = None
    if found is None:
        # What was skipped and has no default anywhere is empty: Argo's resolveParameter tells it from what is missing.
        found = text_of(source.get("default", ""))
    return {**kept, "value": found}


_GIVEN: Final = "workflow."
_PRODUCED: Final = ("steps.", "tasks.", "workflow.outputs.")


def _produced(scope: Scope) -> dict[str, Any]:
    """What the outputs of a steps or DAG template are made of: its inputs, and what nodes have left. Of the workflow's
    variables Argo's scope (its createScope) has no others."""
    known = scope.flatten()
    return {name: known[name] for name in known if not name.startswith(_GIVEN) or name.startswith(_PRODUCED)}


def _reference(text: str, scope: Scope) -> str | None:
    """The value of ``{{steps.a.outputs.parameters.b}}``, given whole; None where ``a`` never ran.

    Any other tag has been filled in by then, and what it stands for is taken for the name of a variable, as in Argo.
    """
    name = _bare(text)
    if name not in scope or (name.startswith(_GIVEN) and not name.startswith(_PRODUCED)):
        raise OutputError(f'{_ABSENT}: "{name}"')
    return None if scope[name] is None else text_of(scope[name])


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("{{").removesuffix("}}").strip()


_ABSENT: Final = "Unable to resolve"
"""What is wrong where an artifact is named that is not there; of what a template leaves nothing else is optional."""


def resolve_artifact(artifact: Document, scope: Scope, forgiven: str = "") -> Document | None:
    """The artifact that `from` or `fromExpression` names, under its new name; None for an optional one that cannot be
    had because of what begins with ``forgiven``.

    Artifacts travel by reference: what is passed on is where the artifact lies. Raises `OutputError`.
    """
    if not artifact.get("from") and not artifact.get("fromExpression"):
        return artifact
    try:
        found = _find_artifact(artifact, scope)
    except (ExpressionError, OutputError) as error:
        if artifact.get("optional") and str(error).startswith(forgiven):
            return None
        raise OutputError(str(error)) from error
    located = {key: value for key, value in found.items() if key not in ("globalName", "optional", "path", "name")}
    kept = {key: value for key, value in artifact.items() if key not in ("from", "fromExpression")}
    sub_path = kept.pop("subPath", None)
    if sub_path:
        located["subPath"] = sub_path
    return {**located, **kept}


def _find_artifact(artifact: Document, scope: Scope) -> Document:
    expression = artifact.get("fromExpression")
    name = _bare(artifact.get("from") or "")
    if not expression and name.startswith("="):
        name = _bare(_named(name[1:], scope))
    if expression:
        # An expression chooses between artifacts, and need not see what they are made of.
        known = _produced(scope)
        artifacts = {f"artifact {key}": value for key, value in known.items() if isinstance(value, Mapping)}
        seen = {key: f"artifact {key}" if isinstance(value, Mapping) else value for key, value in known.items()}
        found: Any = artifacts.get(str(evaluate(expression, environment(seen), clock=scope.clock)))
    elif name in scope:
        found = scope[name]
    else:
        raise OutputError(f'{_ABSENT}: "{name}"')
    if not isinstance(found, Mapping):
        raise OutputError(f"Variable {{{{{expression or name}}}}} is not an artifact")
    return found


def _named(expression: str, scope: Scope) -> str:
    """The name that an expression in `from` makes up: it sees texts alone, and no artifact that it could choose, as
    the other tags of a step (Argo's ResolveVar refuses what that leaves)."""
    texts = {key: value for key, value in scope.flatten().items() if isinstance(value, str)}
    try:
        found = evaluate(expression, environment(texts), clock=scope.clock)
    except ExpressionError:
        found = None
    if found is None:
        raise OutputError(f"Unable to compile: {go_json(expression)}")
    return item_text(found)


def leaf_outputs(declared: Document, given: Document, location: str) -> dict[str, Any] | None:
    """The outputs of a leaf: what its executor reported, completed by what its template declares.

    A declared parameter that was not reported takes its `valueFrom.default`, or a literal `value`; a declared artifact
    lies at `location` unless the template says where, and is not there if it is optional and all are reported but this
    one. `given` wins over both.
    """
    outputs = dict(given)
    reported = {parameter["name"]: parameter for parameter in given.get("parameters") or ()}
    parameters: list[Document] = []
    for parameter in declared.get("parameters") or ():
        value = reported.pop(parameter["name"], {}).get("value")
        if value is None:
            value = parameter.get("value", (parameter.get("valueFrom") or {}).get("default"))
        if value is not None:
            kept = {key: field for key, field in parameter.items() if key != "valueFrom"}
            parameters.append({**kept, "value": text_of(value)})
    parameters.extend(reported.values())
    if parameters:
        outputs["parameters"] = parameters
    reports = outputs.pop("artifacts", None)
    known = {artifact["name"]: artifact for artifact in reports or ()}
    artifacts = []
    for artifact in declared.get("artifacts") or ():
        if reports is not None and artifact.get("optional") and artifact["name"] not in known:
            continue
        placed = (
            artifact if set(artifact) - _UNPLACED else {**artifact, "s3": {"key": f"{location}/{artifact['name']}.tgz"}}
        )
        artifacts.append({**placed, **known.pop(artifact["name"], {})})
    artifacts.extend(known.values())
    if artifacts:
        outputs["artifacts"] = artifacts
    return outputs or None


_UNPLACED: Final = frozenset(
    {"name", "path", "globalName", "mode", "optional", "archive", "from", "subPath", "recurseMode", "artifactGC"}
)
"""The fields of an artifact that do not say where it lies."""
