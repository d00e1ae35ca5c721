"""What a workflow that was refused still needs to be told, in the words of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from engine.model.workflow import Workflow
from engine.templates.library import Library
from engine.templates.specification import InvalidSpec, UnknownTemplate, spec_in_force
from engine.templates.template import InvalidTemplate


def lacking(workflow: Workflow, library: Library) -> Iterator[str]:
    """A line for the arguments without a value, and one for an entrypoint where there is none: all options at once."""
    try:
        spec = spec_in_force(workflow.document, library)
        context = library.local(spec)
        entrypoint = spec.get("entrypoint")
        template = context.document(entrypoint) if entrypoint else {}
    except (InvalidSpec, InvalidTemplate, UnknownTemplate):
        return
    if not entrypoint and context.names():
        options = " or ".join(f"--entrypoint {shlex.quote(name)}" for name in context.names())
        yield f"{workflow.key} has no entrypoint: give it {options}"
    arguments = (spec.get("arguments") or {}).get("parameters") or ()
    given = {each["name"] for each in arguments}
    inputs = [each for each in (template.get("inputs") or {}).get("parameters") or () if each["name"] not in given]
    needed = [each for each in arguments if each.get("value") is None and each.get("valueFrom") is None]
    needed += [
        each for each in inputs if not any(each.get(key) is not None for key in ("value", "default", "valueFrom"))
    ]
    if needed:
        options = " ".join(f"-p {shlex.quote(each['name'])}=VALUE" for each in needed)
        yield f"{workflow.key} has arguments without a value: give it {options}"
