"""Names: of templates, steps, tasks and containers, of parameters and artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from engine.shape import Document
from engine.templates.specification import InvalidSpec

LONGEST: Final = 128
LONGEST_WORKFLOW: Final = 63

_FIELD: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_VALUE: Final = re.compile(r"[-a-zA-Z0-9_]+")
_PARAMETER: Final = re.compile(r"\{\{[-a-zA-Z0-9]+(\.[-a-zA-Z0-9_]+)*\}\}")

_FIELD_PROBLEM: Final = (
    "name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character"
    " (e.g. My-name1-2, 123-NAME)"
)
_VALUE_PROBLEM: Final = (
    "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-' e.g. my_param_1, MY-PARAM-1"
)


def field_problem(name: str) -> str:
    """What is wrong with the name of a template, step, task or container; empty where nothing is."""
    problems = [f"must be no more than {LONGEST} characters"] if len(name) > LONGEST else []
    return ";".join(problems if _FIELD.fullmatch(name) else [*problems, _FIELD_PROBLEM])


def value_problem(name: str) -> str:
    """What is wrong with the name of a parameter or an artifact; empty where nothing is."""
    return "" if _VALUE.fullmatch(name) else _VALUE_PROBLEM


def is_parameter(text: str) -> bool:
    """Whether a text has a tag in it, so that nothing can be said of it yet."""
    return _PARAMETER.search(text) is not None


def check_names(prefix: str, documents: Iterable[Document], *, values: bool = False) -> None:
    """Every one of a list has a name, that name is valid, and no other one has it. Raises `InvalidSpec`."""
    names: set[str] = set()
    for index, document in enumerate(documents):
        name = document.get("name") or ""
        if not name:
            raise InvalidSpec(f"{prefix}[{index}].name is required")
        problem = value_problem(name) if values else field_problem(name)
        if problem:
            raise InvalidSpec(f"{prefix}[{index}].name: '{name}' is invalid: {problem}")
        if name in names:
            raise InvalidSpec(f"{prefix}[{index}].name '{name}' is not unique")
        names.add(name)
