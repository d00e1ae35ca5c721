"""Node field selectors: which nodes they mean, and what is wrong with those that are none."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Node, OperationError
from engine.operations.selecting import Selector

NODE = Node(
    id="wf-1",
    name="wf.a(0:x)",
    display_name="a(0:x)",
    type="Pod",
    phase="Failed",
    template_name="leaf",
    inputs=msgspec.Raw(b'{"parameters":[{"name":"colour","value":"red"},{"name":"n.m","value":3},{"name":"bare"}]}'),
)
REFERRING = Node(
    id="wf-2",
    name="wf.b",
    display_name="b",
    type="Pod",
    template_ref={"name": "shared", "template": "there"},
    template_name="here",
)


@pytest.mark.parametrize(
    "text",
    [
        "displayName=a(0:x)",
        "name==wf.a(0:x)",
        "id=wf-1",
        "templateName=leaf",
        "phase!=Succeeded",
        "phase=Failed,templateName=leaf",
        "inputs.parameters.colour.value=red",
        "inputs.parameters.n.m.value=3",
        "inputs.parameters.bare.value=",
        "inputs.parameters.none.value=,",
        "templateRef.name=",
        "inputs.parameters.none.value!=red",
    ],
)
def test_what_matches(text: str) -> None:
    assert Selector(text).matches(NODE)


@pytest.mark.parametrize(
    "text", ["displayName=a", "phase!=Failed", "phase=Failed,templateName=other", "inputs.parameters.colour.value!=red"]
)
def test_what_does_not_match(text: str) -> None:
    assert not Selector(text).matches(NODE)


def test_a_referred_template_is_known_by_its_own_name() -> None:
    assert Selector("templateName=there,templateRef.name=shared,templateRef.template=there").matches(REFERRING)
    assert not Selector("templateName=here").matches(REFERRING)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected FIELD=VALUE"),
        (",", "expected FIELD=VALUE"),
        ("approve", "expected FIELD=VALUE or FIELD!=VALUE, got 'approve'"),
        ("displayname=a", "there is no field 'displayname'; expected one of displayName, name, id"),
        ("inputs.parameters.value=a", "there is no field 'inputs.parameters.value'"),
        ("=a", "there is no field ''"),
        ("displayName=a=b", "expected a backslash before each of , = \\ in 'a=b'"),
        ("displayName=a\\b", "expected a backslash before each of"),
    ],
)
def test_what_is_no_selector(text: str, reason: str) -> None:
    with pytest.raises(OperationError) as caught:
        Selector(text)
    assert str(caught.value).startswith(f"node field selector {text!r}: {reason}")


@given(st.text())
def test_any_name_can_be_selected(name: str) -> None:
    escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    node = Node(id="i", name="n", display_name=name, type="Pod", phase="Running")
    selector = Selector(f"displayName={escaped},phase=Running")
    assert selector.matches(node)
    node.display_name += "!"
    assert not selector.matches(node)


@given(st.text(alphabet="displayName=,!\\ ."))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    with contextlib.suppress(OperationError):
        assert Selector(text).matches(NODE) in (True, False)
