"""``--set node.phase=Running``: changing one value in the arguments of a call."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import orjson

_STEP = re.compile(r"((?:[^.\\\[\]]|\\.)+)((?:\[[0-9]+\])*)(\.|$)", re.DOTALL)


def read_value(text: str) -> Any:
    """`text` as JSON where it is that, else itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path such as ``node.inputs.parameters[0].value``; what is missing on the way is made.

    A dot in a key has a backslash before it. The first key must be there already. Raises `ValueError`.
    """
    steps = read_path(path)
    if steps[0] not in document:
        close = difflib.get_close_matches(str(steps[0]), document, 1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(document)}"
        raise ValueError(f"{path}: it is sent no {steps[0]}, {hint}")
    inner: Any = document
    step: Any
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        where = _written(steps[: at + 1])
        kind, called = (dict, "an object") if isinstance(step, str) else (list, "an array")
        if not isinstance(inner, kind):
            raise ValueError(f"{where}: expected {called} at {_written(steps[:at])}, it is {_shown(inner)}")
        if isinstance(inner, list):
            if step == len(inner):
                inner.append(None)
            elif step > len(inner):
                raise ValueError(f"{where}: expected at most [{len(inner)}], which is one more than there are")
        elif step not in inner:
            inner[step] = None
        if last:
            inner[step] = value
        elif inner[step] is None:
            inner[step] = {} if isinstance(steps[at + 1], str) else []
        inner = inner[step]


def read_path(path: str) -> Sequence[str | int]:
    """The keys and indices of a path. Raises `ValueError`."""
    steps: list[str | int] = []
    at = 0
    while at < len(path) or not steps:
        step = _STEP.match(path, at)
        if step is None or (step[3] and step.end() == len(path)):
            raise ValueError(f"{path!r}: expected a path such as node.phase or template.container.command[0]")
        steps.append(re.sub(r"\\(.)", r"\1", step[1], flags=re.DOTALL))
        steps += [int(index) for index in re.findall(r"[0-9]+", step[2])]
        at = step.end()
    return steps


def _written(steps: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}..."
