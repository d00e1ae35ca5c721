"""``--set PATH=VALUE``: what paths may be, and what becomes of the arguments."""

from __future__ import annotations

import contextlib
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.verifying.setting import put, read_path, read_value

ARGUMENTS: dict[str, Any] = {"node": {"id": "a", "inputs": {"parameters": [{"name": "p"}]}}, "template": {"name": "t"}}


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("node.phase", ["node", "phase"]),
        ("node.inputs.parameters[0].value", ["node", "inputs", "parameters", 0, "value"]),
        ("node.inputs.parameters[1]", ["node", "inputs", "parameters", 1]),
        (r"node.labels.example\.com/a", ["node", "labels", "example.com/a"]),
        ("node.new[0][0].x", ["node", "new", 0, 0, "x"]),
        ("template", ["template"]),
    ],
)
def test_a_value_is_put_where_the_path_leads(path: str, where: list[str | int]) -> None:
    document = deepcopy(ARGUMENTS)
    put(document, path, "here")
    found: Any = document
    for step in where:
        found = found[step]
    assert found == "here"
    assert document["node"]["id"] == "a" or path == "node"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nod.phase", "nod.phase: it is sent no nod, did you mean node?"),
        ("x", "x: it is sent no x, expected one of node, template"),
        ("node.id.x", 'node.id.x: expected an object at node.id, it is "a"'),
        ("node[0]", "node[0]: expected an array at node, it is {"),
        ("node.inputs.parameters[2].name", "node.inputs.parameters[2]: expected at most [1]"),
        ("node.inputs.parameters.name", "expected an object at node.inputs.parameters"),
        ("", "'': expected a path such as"),
        ("node.", "'node.': expected a path such as"),
        (".node", "'.node': expected a path such as"),
        ("node..phase", "'node..phase': expected a path such as"),
        ("node[x]", "'node[x]': expected a path such as"),
        ("[0]", r"'[0]': expected a path such as"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        put(deepcopy(ARGUMENTS), path, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("Running", "Running"), ("5", 5), ('"5"', "5"), ("null", None), ('{"a": [1]}', {"a": [1]}), ("", ""),
     ("NaN", "NaN"), ("a=b", "a=b")],
)  # fmt: skip
def test_a_value_is_json_or_text(text: str, value: object) -> None:
    assert read_value(text) == value


@given(st.lists(st.one_of(st.text(min_size=1, max_size=5), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_every_key_can_be_written(steps: list[str | int]) -> None:
    steps = ["first", *steps]
    written = ""
    for step in steps:
        escaped = "".join(f"\\{each}" if each in r".\[]" else each for each in str(step))
        written += f"[{step}]" if isinstance(step, int) else f".{escaped}"
    assert read_path(written[1:]) == steps


@given(st.text(alphabet="a.[]0\\", max_size=10))
def test_whatever_is_written_is_a_path_or_refused(path: str) -> None:
    with contextlib.suppress(ValueError):
        put(deepcopy(ARGUMENTS), f"node{path}", 1)
