"""Suspends: leaves that the clock fulfils, or somebody who resumes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec
import orjson

from engine.executors.executor import Result
from engine.graph.deadlines import started
from engine.graph.ends import finish
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.model.node import ERROR, FAILED, SUCCEEDED, Node
from engine.shape import Document
from engine.substitution.text import SubstitutionError
from engine.substitution.variables import seconds, text_of


def begin(graph: Graph, invocation: Invocation, node: Node) -> None:
    """Wait for the template's duration, counted from the node's start; without one, for somebody to resume it.

    Until then the node shows what it is to be given (Argo's executeSuspend).
    """
    wait = None
    try:
        settings = graph.settings(invocation)
        duration = (settings.get("suspend") or {}).get("duration")
        if duration not in (None, ""):
            wait = seconds(duration)
        if not graph.replaying:
            _show(graph, invocation, node)
    except (ValueError, SubstitutionError) as error:
        finish(graph, invocation, ERROR, str(error), raised=True)
        return
    if wait is not None:
        due, is_open = started(graph, node) + wait, partial(graph.is_open, invocation)
        graph.timers.at(due, invocation.order, is_open, partial(_resume, graph, invocation, {}, in_time=True))


def _show(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The outputs that somebody is to supply, and of inputs the values to choose from.

    An input that is a parameter in JSON has that one's `enum` (Argo's resolveInputFieldsForSuspendNode); its default
    is what Argo's page offers, and none of the output of its name.
    """
    inputs = orjson.loads(bytes(node.inputs)) if node.inputs is not None else {}
    chosen = False
    for parameter in inputs.get("parameters") or ():
        if "enum" in str(parameter.get("value")):
            try:
                described = orjson.loads(str(parameter["value"]))
            except orjson.JSONDecodeError:
                continue
            choices = described.get("enum") if isinstance(described, dict) else None
            if isinstance(choices, list) and choices:
                parameter["enum"], chosen = choices, True
                parameter.setdefault("default", choices[0])
    if chosen:
        graph.store.touch(node.id).inputs = msgspec.Raw(msgspec.json.encode(inputs))
    wanted = [each for each in graph.declared(invocation).get("parameters") or () if _is_supplied(each)]
    if wanted and not node.outputs:
        graph.store.touch(node.id).outputs = {"parameters": wanted}


def _is_supplied(parameter: Document) -> bool:
    return (parameter.get("valueFrom") or {}).get("supplied") is not None


def answered(graph: Graph, invocation: Invocation, result: Result) -> None:
    """Somebody resumes it, and may supply outputs."""
    parameters = (result.outputs or {}).get("parameters") or ()
    given = {parameter["name"]: text_of(parameter.get("value", "")) for parameter in parameters}
    _resume(graph, invocation, given, result.message)


def supply(graph: Graph, invocation: Invocation, given: Document) -> None:
    """Somebody supplies outputs, and has it wait on."""
    values = {parameter["name"]: parameter.get("value") for parameter in given.get("parameters") or ()}
    node = graph.store.touch(invocation.node_id)
    outputs = node.outputs or {}
    parameters = [
        {**_without_source(each), "value": values[each["name"]]} if each["name"] in values else each
        for each in outputs.get("parameters") or ()
    ]
    node.outputs = {**outputs, "parameters": parameters}


def _without_source(parameter: Document) -> Document:
    """It needs none any more: it has its value."""
    return {key: field for key, field in parameter.items() if key != "valueFrom"}


def _resume(
    graph: Graph, invocation: Invocation, given: Mapping[str, str], message: str = "", *, in_time: bool = False
) -> None:
    """Go on after a suspend: with the parameters that somebody supplied, those set before, or their defaults.

    Where one has none of these the node has Failed, or, where it went on by itself (``in_time``), is in Error.
    """
    if not graph.is_open(invocation):
        return
    outputs = dict(graph.store[invocation.node_id].outputs or {})
    parameters = []
    for parameter in outputs.get("parameters") or ():
        name = parameter["name"]
        value = given.get(name, parameter.get("value", (parameter.get("valueFrom") or {}).get("default")))
        if value is None:
            problem = f"raw output parameter '{name}' has not been set and does not have a default value"
            finish(graph, invocation, ERROR if in_time else FAILED, problem, raised=in_time)
            return
        parameters.append({**_without_source(parameter), "value": text_of(value)})
    if parameters:
        outputs["parameters"] = parameters
    finish(graph, invocation, SUCCEEDED, message, outputs=outputs or None)
