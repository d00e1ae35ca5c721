"""Nodes: their ids, their JSON, and taking back what a pass did to them."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Workflow
from engine.graph.nodes import NodeStore
from engine.model.ids import fnv1a32, fnv1a32_all, ids_after, node_id
from engine.model.node import KNOWN, encode, from_dict, to_dict


@pytest.mark.parametrize(("text", "value"), [("", 2166136261), ("a", 3826002220), ("foobar", 3214735720)])
def test_the_hash_is_the_published_fnv1a(text: str, value: int) -> None:
    assert fnv1a32(text) == value


def test_the_root_has_the_name_of_the_workflow_and_others_the_hash_of_theirs() -> None:
    assert node_id("work", "work", ()) == "work"
    assert node_id("work", "work[0].a", ()) == f"work-{fnv1a32('work[0].a')}"


@given(st.lists(st.text(max_size=6)), st.text(max_size=6))
def test_many_hashes_are_those_of_each(texts: list[str], before: str) -> None:
    assert fnv1a32_all(texts, fnv1a32(before)) == [fnv1a32(before + text) for text in texts]


@given(st.lists(st.text(max_size=6), unique=True))
def test_ids_of_names_that_begin_alike_are_those_of_the_names(ends: list[str]) -> None:
    assert ids_after("work", "work[0].a(", ends) == [node_id("work", f"work[0].a({end}", ()) for end in ends]


def test_an_id_that_is_taken_gives_way() -> None:
    first = node_id("work", "work.a", ())
    second = node_id("work", "work.a", {first})
    third = node_id("work", "work.a", {first, second})
    assert len({first, second, third}) == 3
    assert all(each.startswith("work-") for each in (first, second, third))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
documents = st.fixed_dictionaries(
    {"id": st.text(), "name": st.text(), "displayName": st.text(), "type": st.just("Pod"), "phase": st.just("Running")},
    optional={
        "inputs": st.dictionaries(
            st.sampled_from(["parameters", "artifacts"]), st.lists(values, max_size=2), min_size=1
        ),
        "outputs": st.dictionaries(st.text(max_size=5), values, min_size=1),
        "children": st.lists(st.text(), min_size=1),
        "boundaryID": st.text(min_size=1),
        "podIP": st.text(min_size=1),
        "message": st.text(min_size=1),
    },
)
unknown = st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda key: key not in KNOWN | {"unknown"}), values)


@given(documents, unknown)
def test_a_node_survives_the_round_trip_with_what_is_not_known_of_it(document: dict[str, Any], more: Any) -> None:
    sent = {**document, **more}
    node = from_dict(sent)
    assert orjson.loads(encode(node)) == sent
    assert to_dict(node) == sent


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.displayName"):
        from_dict({"id": "a", "name": "a", "displayName": 7, "type": "Pod"})


def test_what_a_pass_did_is_taken_back_to_the_byte() -> None:
    work = Workflow({"kind": "Workflow", "metadata": {"name": "work"}, "spec": {}})
    store = NodeStore("work", work.nodes)
    root = store.create("work", "DAG", "Running", None)
    store.commit()
    before = work.encode()
    child = store.create("work.a", "Pod", "Pending", root)
    store.link("work", child.id)
    store.touch("work").phase = "Succeeded"
    assert work.encode() != before
    deque(store.rollback(), maxlen=0)
    assert work.encode() == before


def test_encoding_a_workflow_is_writing_its_document_down() -> None:
    nodes = {
        "work": {"id": "work", "name": "work", "displayName": "work", "type": "Pod", "phase": "Running", "new": [1]},
        "other": {"id": "other", "name": "other", "displayName": "o", "type": "Pod", "phase": "Failed"},
    }
    document = {"kind": "Workflow", "metadata": {"name": "work", "x": 1}, "spec": {"y": 2}, "status": {"nodes": nodes}}
    work = Workflow(document)
    assert orjson.loads(work.encode()) == work.to_dict()
    assert work.to_dict()["status"]["nodes"] == nodes
    assert list(work.to_dict()["status"]["nodes"]) == ["other", "work"]
