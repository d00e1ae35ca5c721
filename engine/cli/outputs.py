"""The outputs that workflows read: a skeleton of a file for ``--outcomes``, and which of them a run made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from engine.executors.simulated import SimulatedExecutor
from engine.manifests import Manifests
from engine.model.naming import told
from engine.shape import check_shape
from engine.templates.reads import Output, Reader, reads
from registry.terminal import printable

_MOST: Final = 5
"""How many readers of one output are named."""


def read_outputs(manifests: Manifests) -> dict[Output, list[Reader]]:
    """The outputs that the workflows and templates read. Raises `WrongType`."""
    documents = [each.document for each in (*manifests.workflows, *manifests.templates)]
    for document in documents:
        check_shape(document)
    return reads([{"metadata": {}, **document} for document in documents])


def skeleton(found: Mapping[Output, list[Reader]]) -> Iterator[str]:
    """A file of outcomes with nothing in them, in pieces; who reads what is said above each."""
    if not found:
        yield "{} # no output of a leaf is read\n"
    several = len({output.namespace for output in found if output.namespace}) > 1
    for template in dict.fromkeys(output[:2] for output in found):
        entry: dict[str, Any] = {}
        yield "\n"
        for output, readers in found.items():
            if output[:2] == template:
                yield f"# {printable(f'{output.name}: {_read_by(readers)}')}\n"
                kind, _, parameter = output.name.partition(".")
                value = "0" if kind == "exitCode" else "[]" if any(each.looped for each in readers) else ""
                if parameter:
                    entry.setdefault(kind, {})[parameter] = value
                else:
                    entry[kind] = value
        namespace, name = template
        yield yaml.safe_dump({f"{namespace}/{name}" if several and namespace else name: entry}, sort_keys=False)


def made_up(executor: SimulatedExecutor, found: Mapping[Output, list[Reader]]) -> str:
    """A line on the outputs that nobody gave and that are read; empty if there are none."""
    values = _values(executor)
    lines = [
        f"{_named(output)} is {'[]' if values[output] else 'empty'} ({_read_by(readers)})"
        for output, readers in found.items()
        if output in values
    ]
    return f"simulated, since no --outcomes say otherwise: {', '.join(lines)}" if lines else ""


def hollow_when(executor: SimulatedExecutor, found: Mapping[Output, list[Reader]]) -> str:
    """A line on the operands of a `when` that are empty because nobody gave them; empty if there are none."""
    values = _values(executor)
    operands = [
        _named(output)
        for output, readers in found.items()
        if values.get(output) == "" and any(each.place.startswith("when of ") for each in readers)
    ]
    if not operands:
        return ""
    return f"an operand of the 'when' is empty because it was simulated: give {', '.join(operands)} with --outcomes"


def _values(executor: SimulatedExecutor) -> dict[Output, str]:
    """What was made up, also of cluster-scoped templates: for a workflow of any namespace."""
    return {output._replace(namespace=""): value for output, value in executor.made_up.items()} | executor.made_up


def _named(output: Output) -> str:
    return f"{told(output.namespace, output.template)}'s {output.name.replace('.', ' ')}"


def _read_by(readers: list[Reader]) -> str:
    more = f" and {len(readers) - _MOST} more" if len(readers) > _MOST else ""
    return f"read by {', '.join(each.place for each in readers[:_MOST])}{more}"
