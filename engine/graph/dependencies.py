"""What the tasks of a DAG depend on (Argo's ancestry.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Final

from engine.expressions import ExpressionError
from engine.expressions.depends import all_of, parse_depends
from engine.templates.template import Condition, Template

_TASK: Final = re.compile(r"([a-zA-Z0-9][-a-zA-Z0-9]*?)\.[A-Z][a-zA-Z]+|([a-zA-Z0-9][-a-zA-Z0-9]*)")


class Broken:
    """A `depends` that is no expression: the tasks named in it are waited for, and then the task is Error."""

    def __init__(self, text: str, error: ExpressionError) -> None:
        self.tasks = tuple(dict.fromkeys(with_result or name for with_result, name in _TASK.findall(text)))
        self.text = text
        self.error = error

    def evaluate(self, lookup: Callable[[str, str], bool], /) -> bool:
        raise ExpressionError(f"unable to evaluate expression '{self.text}': {self.error}", self.text)


def dependencies(template: Template) -> Generator[None, None, dict[str, Condition | None]]:
    """What each task depends on, None for a root.

    A list of `dependencies` means what Argo's expandDependency makes of it: each one succeeded, was skipped or is a
    daemon, or failed where its own `continueOn` says that this does not matter. Omitted is none of these.
    """
    forgiven = {
        task.name: [
            status for field, status in (("failed", "Failed"), ("error", "Errored")) if task.continue_on.get(field)
        ]
        for task in template.tasks
    }
    result: dict[str, Condition | None] = {}
    for task in template.tasks:
        text, listed = task.document.get("depends") or "", task.document.get("dependencies") or ()
        condition: Condition | None = all_of(listed, forgiven) if listed else None
        try:
            result[task.name] = parse_depends(text, forgiven) if text else condition
        except ExpressionError as error:
            result[task.name] = Broken(text, error)
        yield
    return result
