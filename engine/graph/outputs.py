"""What nodes leave for others to read: variables of finished steps, aggregates of loops, outputs of templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from engine.expressions import ExpressionError, evaluate
from engine.node import Node
from engine.scope import Scope
from engine.substitution import SubstitutionError, environment, render_string
from engine.template import Template
from engine.variables import text_of

Document = Mapping[str, Any]


class OutputError(Exception):
    """An output that cannot be had; the message is the node's."""


def step_variables(prefix: str, node: Node) -> dict[str, Any]:
    """The variables that a node defines for its successors under ``steps.<name>`` or ``tasks.<name>``."""
    variables: dict[str, Any] = {f"{prefix}.id": node.id, f"{prefix}.status": node.phase}
    if node.started_at:
        variables[f"{prefix}.startedAt"] = node.started_at
    if node.finished_at:
        variables[f"{prefix}.finishedAt"] = node.finished_at
    if node.pod_ip:
        variables[f"{prefix}.ip"] = node.pod_ip
    if node.host_node_name:
        variables[f"{prefix}.hostNodeName"] = node.host_node_name
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


def default_variables(prefix: str, template: Template, scope: Scope) -> dict[str, Any]:
    """What a node that never ran defines: its declared outputs, with their defaults, None where they have none."""
    variables: dict[str, Any] = {}
    for parameter in template.outputs.get("parameters") or ():
        default = (parameter.get("valueFrom") or {}).get("default", parameter.get("default"))
        value = None if default is None else render_string(text_of(default), scope, allow_unresolved=True)
        variables[f"{prefix}.outputs.parameters.{parameter['name']}"] = value
    for artifact in template.outputs.get("artifacts") or ():
        variables[f"{prefix}.outputs.artifacts.{artifact['name']}"] = None
    return variables


def loop_variables(prefix: str, nodes: Iterable[Node]) -> dict[str, Any]:
    """The outputs of a loop's turns as JSON lists, in the order of the items (Argo's processAggregateNodeOutputs).

    Raises `OutputError` where a turn's result is not JSON, as in Argo.
    """
    results: list[Any] = []
    parameters: list[dict[str, str]] = []
    lists: dict[str, list[str]] = {}
    for node in nodes:
        outputs = node.outputs
        if not outputs:
            continue
        if outputs.get("parameters"):
            values = {each["name"]: text_of(each.get("value", "")) for each in outputs["parameters"]}
            parameters.append(values)
            for name, value in values.items():
                lists.setdefault(name, []).append(value)
        if outputs.get("result") is not None:
            try:
                results.append(orjson.loads(outputs["result"] or '""'))
            except orjson.JSONDecodeError as error:
                raise OutputError(f"result of {node.display_name!r} is not JSON: {outputs['result']!r}") from error
    return {
        f"{prefix}.outputs.result": orjson.dumps(results).decode(),
        f"{prefix}.outputs.parameters": orjson.dumps(parameters).decode(),
        **{f"{prefix}.outputs.parameters.{name}": orjson.dumps(values).decode() for name, values in lists.items()},
    }


def template_outputs(template: Template, scope: Scope) -> dict[str, Any] | None:
    """The outputs of a steps or DAG template, read from its finished children.

    Raises `OutputError` where a required one has no value and no default.
    """
    outputs: dict[str, Any] = {}
    if template.outputs.get("parameters"):
        outputs["parameters"] = [_parameter(parameter, scope) for parameter in template.outputs["parameters"]]
    if template.outputs.get("artifacts"):
        found = (resolve_artifact(artifact, scope) for artifact in template.outputs["artifacts"])
        outputs["artifacts"] = [artifact for artifact in found if artifact is not None]
    return outputs or None


def _parameter(parameter: Document, scope: Scope) -> dict[str, Any]:
    kept = {key: value for key, value in parameter.items() if key not in ("valueFrom", "default")}
    if "globalName" in kept:
        kept["globalName"] = render_string(kept["globalName"], scope, allow_unresolved=True)
    source = parameter.get("valueFrom") or {}
    try:
        if source.get("expression"):
            expression = render_string(source["expression"], scope, allow_unresolved=True)
            return {**kept, "value": text_of(evaluate(expression, environment(scope)))}
        if source.get("parameter"):
            return {**kept, "value": _reference(source["parameter"], scope)}
        if parameter.get("value") is not None:
            return {**kept, "value": render_string(text_of(parameter["value"]), scope)}
        reason = "output parameters must have a valueFrom specified"
    except (ExpressionError, SubstitutionError, KeyError) as error:
        reason = str(error.args[0] if isinstance(error, KeyError) else error)
    default = source.get("default", parameter.get("default"))
    if default is None:
        raise OutputError(f"unable to resolve outputs from scope: {parameter['name']}: {reason}")
    return {**kept, "value": render_string(text_of(default), scope, allow_unresolved=True)}


def _reference(text: str, scope: Scope) -> str:
    """The value of ``{{steps.a.outputs.parameters.b}}``, given whole."""
    name = text.strip().removeprefix("{{").removesuffix("}}").strip()
    if "{{" in name or name.startswith("="):
        return render_string(text, scope)
    if scope.get(name) is None:
        raise KeyError(f"unable to resolve {text}")
    return text_of(scope[name])


def resolve_artifact(artifact: Document, scope: Scope) -> Document | None:
    """The artifact that `from` or `fromExpression` names, under its new name; None for an optional one not there.

    Artifacts travel by reference: what is passed on is where the artifact lies. Raises `OutputError`.
    """
    if not artifact.get("from") and not artifact.get("fromExpression"):
        return artifact
    found: Any = None
    if artifact.get("fromExpression"):
        try:
            found = evaluate(artifact["fromExpression"], environment(scope))
        except ExpressionError as error:
            if not artifact.get("optional"):
                raise OutputError(f"unable to resolve artifact {artifact['name']!r}: {error}") from error
    else:
        name = artifact["from"].strip().removeprefix("{{").removesuffix("}}").strip()
        found = scope.get(name)
    if not isinstance(found, Mapping):
        if artifact.get("optional"):
            return None
        raise OutputError(
            f"unable to resolve references: Unable to resolve: {artifact.get('from') or artifact.get('fromExpression')}"
        )
    located = {key: value for key, value in found.items() if key not in ("globalName", "optional", "path", "name")}
    kept = {key: value for key, value in artifact.items() if key not in ("from", "fromExpression")}
    if "globalName" in kept:
        kept["globalName"] = render_string(kept["globalName"], scope, allow_unresolved=True)
    sub_path = kept.pop("subPath", None)
    if sub_path:
        located["subPath"] = sub_path
    return {**located, **kept}


def leaf_outputs(declared: Document, given: Document, location: str) -> dict[str, Any] | None:
    """The outputs of a leaf: what its executor reported, completed by what its template declares.

    A declared parameter that was not reported takes its `valueFrom.default`, or a literal `value`; a declared artifact
    lies at `location` unless the template says where. `given` wins over both.
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
    known = {artifact["name"]: artifact for artifact in given.get("artifacts") or ()}
    artifacts = []
    for artifact in declared.get("artifacts") or ():
        placed = (
            artifact if set(artifact) - _UNPLACED else {**artifact, "s3": {"key": f"{location}/{artifact['name']}.tgz"}}
        )
        artifacts.append({**placed, **known.pop(artifact["name"], {})})
    artifacts.extend(known.values())
    if artifacts:
        outputs["artifacts"] = artifacts
    return outputs or None


_UNPLACED = frozenset(
    {"name", "path", "globalName", "mode", "optional", "archive", "from", "subPath", "recurseMode", "artifactGC"}
)
