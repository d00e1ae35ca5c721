"""WorkflowTemplates alone: as a workflow whose arguments are still to come (Argo's ValidateWorkflowTemplate)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.templates.catalog import Templates
from engine.templates.specification import InvalidSpec
from engine.validation import validate_template

LEAF = {"name": "leaf", "container": {"image": "i", "command": ["true"]}}


def check(spec: dict[str, Any], *, kind: str = "WorkflowTemplate", name: str = "build") -> None:
    context = Templates().library("default").local(spec)
    validate_template({"kind": kind, "metadata": {"name": name}, "spec": spec}, context)


@pytest.mark.parametrize(
    "spec",
    [
        {"templates": [LEAF]},
        {"entrypoint": "leaf", "templates": [LEAF], "arguments": {"parameters": [{"name": "a"}]}},
        {"templates": [LEAF], "arguments": {"parameters": [{"name": "a", "enum": ["x", "y"]}]}},
        {"templates": [{**LEAF, "container": {"image": "{{workflow.parameters.unknown}}"}}]},
        {"entrypoint": "leaf", "templates": [{**LEAF, "inputs": {"parameters": [{"name": "a"}]}}]},
    ],
)
def test_what_its_users_will_say_may_be_missing(spec: dict[str, Any]) -> None:
    check(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"entrypoint": "gone", "templates": [LEAF]}, "template name 'gone' undefined"),
        ({"templates": [{"name": "a"}]}, "templates.a templates.a template type unspecified"),
        ({"templates": [LEAF, LEAF]}, "spec.templates[1].name 'leaf' is not unique"),
        (
            {"templates": [{**LEAF, "container": {"image": "{{inputs.parameters.x}}"}}]},
            "templates.leaf templates.leaf: failed to resolve {{inputs.parameters.x}}",
        ),
        (
            {"templates": [LEAF], "arguments": {"parameters": [{"name": "a", "enum": []}]}},
            "spec.arguments.a.enum should contain at least one value",
        ),
        (
            {"templates": [LEAF], "arguments": {"parameters": [{"name": "a", "value": "z", "enum": ["x"]}]}},
            "spec.arguments.a.value should be present in spec.arguments.a.enum list: x",
        ),
    ],
)
def test_what_is_wrong_whoever_uses_it(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        check(spec)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("WorkflowTemplate", "workflow template"), ("ClusterWorkflowTemplate", "cluster workflow template")],
)
def test_a_name_that_is_too_long(kind: str, told: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        check({"templates": [LEAF]}, kind=kind, name="n" * 64)
    assert str(caught.value) == (f'{told} name "{"n" * 64}" must not be more than 63 characters long (currently 64)')
