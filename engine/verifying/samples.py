"""Arguments to try a plugin with: the documented example, and variations on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

import orjson

from engine.model.node import FULFILLED, PENDING
from engine.verifying.effects import Arguments
from rpc import Method
from rpc.batches import Call, encode_batch
from rpc.examples import example_of

MARK: Final = re.compile(rb"verify-[0-9]{4}")
"""What tells the samples apart; it is nowhere else."""

LARGE: Final = "0123456789abcdef" * (1 << 16)
"""A mebibyte."""
TEXT: Final = 'fünf "Ruder" \\ Ελλάδα 日本語 🚣🏽 e\u0301 \u202eאבג\u202c \u2028 \x7f'
"""Scripts, a character beyond the first 65,536, one of two parts, another direction, and what JavaScript ends lines
at."""

_STARTED: Final = "2026-01-01T12:00:01Z"
_FINISHED: Final = "2026-01-01T12:00:05Z"

_PHASES: Final[dict[Method, Sequence[str]]] = {
    Method.WORKFLOW_PRE_OPERATE: ("Pending", "Running"),
    Method.WORKFLOW_POST_OPERATE: ("Running", "Succeeded", "Failed", "Error"),
    Method.NODE_PRE_EXECUTE: ("Pending", "Running"),
    Method.TEMPLATE_EXECUTE: ("Pending", "Running"),
    Method.NODE_POST_EXECUTE: ("Running", "Succeeded", "Failed", "Error", "Skipped", "Omitted"),
}


def mark(number: int) -> str:
    """What tells one sample from the others."""
    return f"verify-{number:04d}"


def sample(method: Method, number: int, *, batched: bool = False) -> Arguments:
    """The example about another node and workflow, those of that number.

    One that is to be ``batched`` has its workflow, and the name of its template, in common with all others.
    """
    arguments = deepcopy(example_of(method).arguments)
    name = mark(number)
    for value in _nodes(arguments):
        value.update(id=name, name=name, displayName=name)
    for workflow in _workflows(arguments):
        workflow["metadata"].update(name="verify" if batched else name, uid="verify" if batched else name)
    if "template" in arguments and not batched:
        arguments["template"]["name"] = name
    _put_inputs(arguments, [{"name": "sample", "value": name}])
    return arguments


def in_phases(method: Method, number: int, *, batched: bool = False) -> dict[str, Arguments]:
    """By phase a sample in each that the method is called in, from that number on."""
    made: dict[str, Arguments] = {}
    for phase in _PHASES.get(method, ()):
        made[phase] = arguments = sample(method, number + len(made), batched=batched)
        about = arguments[next(place for place in ("new", "node", "workflow") if place in arguments)]
        _put_phase(about, phase)
    return made


def with_unknown_fields(method: Method, number: int, *, batched: bool = False) -> Arguments:
    """A sample with fields that nobody knows, at every level where there may be any."""
    unknown = {"fieldOfTomorrow": {"list": [1, None, {"a": 1.5}]}}
    arguments = sample(method, number, batched=batched)
    for value in list(arguments.values()):
        for key, inner in list(value.items()):
            if isinstance(inner, dict) and key != "plugin":  # its keys are names of plugins
                inner.update(deepcopy(unknown))
        value.update(deepcopy(unknown))
    return {**arguments, **unknown}


def large(method: Method, number: int) -> Arguments:
    """A sample with a mebibyte of text in it."""
    arguments = sample(method, number)
    _put_inputs(arguments, [{"name": "sample", "value": mark(number)}, {"name": "large", "value": LARGE}])
    return arguments


def in_unicode(method: Method, number: int) -> Arguments:
    """A sample whose names and values have characters of all kinds in them."""
    arguments = sample(method, number)
    text = f"{mark(number)}(0:{TEXT})"
    for value in _nodes(arguments):
        value.update(name=text, displayName=text)
    for workflow in _workflows(arguments):
        workflow["metadata"]["annotations"] = {"text": TEXT}
    _put_inputs(arguments, [{"name": "sample", "value": text}])
    return arguments


def batch_of(samples: Sequence[Arguments]) -> bytes:
    """The request for all these calls, whose workflow is the same."""
    calls = []
    for arguments in samples:
        rest = {key: value for key, value in arguments.items() if key not in ("workflow", "template")}
        template = arguments["template"]
        inner = orjson.dumps(rest)[1:]
        calls.append(Call(b"", template["name"], orjson.dumps(template), b"," + inner if rest else inner))
    return encode_batch(orjson.dumps(samples[0]["workflow"]), calls)


def _put_phase(about: dict[str, Any], phase: str) -> None:
    """Into a node or a workflow, with what goes with it."""
    status, over = about, phase in FULFILLED
    if "metadata" in about:
        status = about["status"]
        completed = "true" if over else "false"
        labels = about["metadata"].get("labels", {})
        labels.update({"workflows.argoproj.io/phase": phase, "workflows.argoproj.io/completed": completed})
    status["phase"] = phase
    status.pop("finishedAt", None)
    if phase != PENDING:
        status["startedAt"] = _STARTED
    if over:
        status["finishedAt"] = _FINISHED


def _nodes(arguments: Arguments) -> list[dict[str, Any]]:
    return [value for value in arguments.values() if "displayName" in value]


def _workflows(arguments: Arguments) -> list[dict[str, Any]]:
    return [value for value in arguments.values() if "metadata" in value]


def _put_inputs(arguments: Arguments, parameters: list[dict[str, str]]) -> None:
    """Into the template, or into the workflow where there is none."""
    if "template" in arguments:
        arguments["template"]["inputs"] = {"parameters": parameters}
    else:
        for workflow in _workflows(arguments):
            workflow["spec"]["arguments"] = {"parameters": parameters}
