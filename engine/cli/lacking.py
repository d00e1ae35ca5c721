"""What there is to be said of a workflow's arguments, in the words of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from engine.cli.unmatched import guess
from engine.model.workflow import Workflow
from engine.shape import Document
from engine.substitution.variables import text_of
from engine.templates.library import Library
from engine.templates.specification import InvalidSpec, UnknownTemplate, spec_in_force
from engine.templates.template import InvalidTemplate


class _Parameters(NamedTuple):
    """What a workflow takes: its spec in force, its entrypoint and which there may be, its arguments, and the inputs of
    the entrypoint that are none of those."""

    spec: Document
    entrypoint: str
    entrypoints: list[str]
    arguments: list[Document]
    inputs: list[Document]


def _parameters(workflow: Workflow, library: Library) -> _Parameters | None:
    """None where it refers to what is not there."""
    try:
        spec = spec_in_force(workflow.document, library)
        context = library.local(spec)
        entrypoint = spec.get("entrypoint") or ""
        template = context.document(entrypoint) if entrypoint else {}
    except (InvalidSpec, InvalidTemplate, UnknownTemplate):
        return None
    arguments = [*((spec.get("arguments") or {}).get("parameters") or ())]
    given = {each["name"] for each in arguments}
    inputs = [each for each in (template.get("inputs") or {}).get("parameters") or () if each["name"] not in given]
    return _Parameters(spec, entrypoint, [*context.names()], arguments, inputs)


def doubtful(workflow: Workflow, library: Library, values: Mapping[str, str]) -> Iterator[str]:
    """A line for each of the values that is none of those listed, or for nothing that there is but for something much
    like it, as a typing error leaves it. Argo takes both."""
    found = _parameters(workflow, library)
    if found is None:
        return
    declared = {each["name"]: each for each in (*found.inputs, *found.arguments)}
    for name, value in values.items():
        choices = [text_of(each) for each in declared.get(name, {}).get("enum") or ()]
        if choices and value not in choices:
            yield f"{name}={value}: expected {' or '.join(choices)}"
        elif name not in declared and (meant := guess(name, declared)) and not _reads(found.spec, name):
            yield f"{name}={value}: there is no parameter {name!r}{meant}"


def _reads(spec: Document, name: str) -> bool:
    """Whether a template reads a parameter of the workflow though it is not declared, as Argo lets it."""
    return f"workflow.parameters.{name}" in orjson.dumps(spec).decode()


def lacking(workflow: Workflow, library: Library) -> Iterator[str]:
    """A line for the arguments without a value, and one for an entrypoint where there is none: all options at once."""
    found = _parameters(workflow, library)
    if found is None:
        return
    if not found.entrypoint and found.entrypoints:
        options = " or ".join(f"--entrypoint {shlex.quote(name)}" for name in found.entrypoints)
        yield f"{workflow.key} has no entrypoint: give it {options}"
    needed = [each for each in found.arguments if each.get("value") is None and each.get("valueFrom") is None]
    needed += [
        each for each in found.inputs if not any(each.get(key) is not None for key in ("value", "default", "valueFrom"))
    ]
    if needed:
        options = " ".join(f"-p {shlex.quote(each['name'])}=VALUE" for each in needed)
        yield f"{workflow.key} has arguments without a value: give it {options}"
