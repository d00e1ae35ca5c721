"""Workflows read from JSON node by node: what comes of it is what comes of the document, however it is cut."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidWorkflow, Workflow
from engine.model import text
from tests.engine.graph.running import run

HEAD: dict[str, Any] = {"kind": "Workflow", "metadata": {"name": "w", "uid": "u"}, "spec": {"entrypoint": "main"}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries({"name": TEXTS, "displayName": TEXTS, "type": TEXTS}) | st.fixed_dictionaries(
    {"name": TEXTS, "displayName": TEXTS, "type": TEXTS, "inputs": st.just({"parameters": []}), "unheardOf": VALUES}
)


def loaded(data: bytes) -> Workflow:
    return asyncio.run(Workflow.loaded(data))


def node(node_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "name": node_id, "displayName": node_id, "type": "Pod", **fields}


@given(
    st.dictionaries(TEXTS, FIELDS, max_size=4),
    st.dictionaries(TEXTS.filter(lambda key: key not in ("phase", "message", "nodes")), VALUES, max_size=2),
    st.permutations([*HEAD, "status"]),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_it_is_what_it_is_of_the_document(
    nodes: dict[str, Any], more: dict[str, Any], order: list[str], window: int, indent: int | None, ascii_only: bool
) -> None:
    chained = [*nodes]
    found = {
        node_id: {**fields, "id": node_id, "children": chained[at + 1 : at + 2]}
        for at, (node_id, fields) in enumerate(nodes.items())
    }
    whole = {**HEAD, "status": {"phase": "Running", "nodes": found, "unknown": more}}
    data = json.dumps({field: whole[field] for field in order}, indent=indent, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "WINDOW", window)
        assert loaded(data).to_dict() == Workflow(json.loads(data)).to_dict()


def test_what_was_encoded_is_the_same_again() -> None:
    work = run(
        "templates: [{name: main, steps: [[{name: a, template: echo, arguments: "
        "{parameters: [{name: text, value: '{{item}}'}]}, withItems: [1, 'ü', '\"']}]]}]"
    ).workflow
    assert loaded(work.encode()).encode() == work.encode()


def test_a_workflow_without_nodes_or_status() -> None:
    assert loaded(json.dumps(HEAD).encode()).nodes == {}
    assert loaded(json.dumps({**HEAD, "status": None}).encode()).phase == ""
    assert loaded(json.dumps({**HEAD, "status": {"nodes": None, "phase": "Running"}}).encode()).phase == "Running"


def status(nodes: Any) -> bytes:
    return json.dumps({**HEAD, "status": {"nodes": nodes}}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a Workflow in JSON: Expecting '{' at character 1"),
        (b"[]", "expected a Workflow in JSON: Expecting '{' at character 1"),
        (b'{"kind": "Workflow"', "expected a Workflow in JSON: Expecting ',' at character 20"),
        (b'{"kind" "Workflow"}', "expected a Workflow in JSON: Expecting ':' at character 9"),
        (b"{kind: Workflow}", "expected a Workflow in JSON: Expecting a key in double quotes at character 2"),
        (b'{"kind": Workflow}', "expected a Workflow in JSON: Expecting value at character 10"),
        (json.dumps(HEAD).encode() + b" {}", "expected a Workflow in JSON: Extra data at character "),
        (b'{"status": {"nodes": {"a": {"id": "\xff"}}}}', "expected a Workflow in JSON: 'utf-8' codec can't decode"),
        (b'{"spec": ' + b"[" * 100_000, "expected a Workflow in JSON: "),
        (status({"a": node("b")}), "status.nodes[a]: id: expected 'a', got 'b'"),
        (status({"a": node("a", children=["b"])}), "status.nodes[a]: children: there is no node 'b'"),
        (status({"a": 1}), "status.nodes[a]: expected a mapping"),
        (status([1]), "status.nodes: expected a mapping, got a list"),
        (b'{"kind": "Pod"}', "kind: expected Workflow, got 'Pod'"),
        (b"{}", "spec: expected a mapping, got nothing"),
    ],
)
def test_what_is_none_is_told_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        loaded(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_garbage_collector_has_nothing_to_look_at_in_nodes(settled: None) -> None:
    def kept(count: int, load: Callable[[bytes], Workflow]) -> int:
        data = status({f"n{each}": node(f"n{each}", outputs={"exitCode": "0"}) for each in range(count)})
        gc.collect()
        before = len(gc.get_objects())
        work = load(data)
        assert len(work.nodes) == count
        gc.collect()
        return len(gc.get_objects()) - before

    kept(10, loaded)
    assert kept(2000, loaded) - kept(10, loaded) < 200
