"""Merge patches, and what they may not touch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.node import Node
from engine.plugins.patching import IllegalChange, apply_result, merge_patch, patch_workflow
from rpc.replies import NodeResult

# The cases of RFC 7386, appendix A, that concern objects.
CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_patches_merge_as_in_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


objects = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from("abc"), objects), st.dictionaries(st.sampled_from("abc"), objects))
def test_a_patch_changes_nothing_in_place_and_says_the_same_twice(target: Any, patch: Any) -> None:
    before = repr(target)
    once = merge_patch(target, patch)
    assert repr(target) == before
    assert merge_patch(once, patch) == once


DOCUMENT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "work", "namespace": "default", "uid": "1"},
    "spec": {},
    "status": {},
}


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"metadata": {"name": "other"}}, "metadata.name"),
        ({"metadata": {"uid": None}}, "metadata.uid"),
        ({"metadata": {"namespace": "x"}}, "metadata.namespace"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels"),
        ({"spec": None}, "spec"),
        ({"status": []}, "status"),
        ({"status": 5}, "status"),
        ({"status": "nodes"}, "status"),
        ({"status": {"nodes": {}}}, "status.nodes"),
        ({"kind": "Pod"}, "kind"),
    ],
)
def test_identity_and_shape_may_not_be_patched(patch: dict[str, Any], named: str) -> None:
    with pytest.raises(IllegalChange, match=named):
        patch_workflow(DOCUMENT, patch)


def test_what_is_not_patched_is_shared() -> None:
    patched = patch_workflow(DOCUMENT, {"metadata": {"annotations": {"seen": "yes"}}})
    assert patched["spec"] is DOCUMENT["spec"]
    assert "annotations" not in DOCUMENT["metadata"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1.5, "1.5"),
        (1e16, "10000000000000000"),
        (2.0200219e07, "20200219"),
        (1e-7, "0.0000001"),
        (5, "5"),
        (True, "true"),
        ("1.0", "1.0"),
    ],
)
def test_values_of_parameters_are_texts_as_they_are_in_argo(value: Any, text: str) -> None:
    node = Node(id="a", name="a", display_name="a", type="Pod", template_name="t", phase="Running")
    sent = {"parameters": [{"name": "p", "value": value}, {"name": "q"}]}
    apply_result(node, NodeResult(outputs=sent))
    assert node.outputs == {"parameters": [{"name": "p", "value": text}, {"name": "q"}]}
    assert sent["parameters"][0]["value"] is value
