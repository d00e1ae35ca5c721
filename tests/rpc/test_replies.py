"""Strict decoding of a reply: what is taken, what is refused, and how it says where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.methods import Method
from rpc.replies import (
    EMPTY,
    MAX_DEPTH,
    MAX_VALUES,
    IllegalReply,
    NodeReply,
    NodeResult,
    ParametersReply,
    TooManyValues,
    WorkflowReply,
    decode,
    decode_object,
)

NODE = Method.NODE_PRE_EXECUTE


@pytest.mark.parametrize("body", [b"{}", b"", b" { } ", b"{}\n"])
@pytest.mark.parametrize("method", list(Method))
def test_nothing_is_always_the_one_empty_reply(method: Method, body: bytes) -> None:
    reply, unknown = decode(method, body)
    assert reply is EMPTY
    assert not unknown


def test_a_node_result_is_typed() -> None:
    body = b"""{"node": {"phase": "Succeeded", "message": "Hello", "progress": "1/2", "outputs": {"exitCode": "0",
        "result": "r", "parameters": [{"name": "p", "value": "v", "description": "kept"}],
        "artifacts": [{"name": "a", "s3": {"key": "k"}}], "extra": 1}}, "requeue": "1m30s"}"""
    reply, unknown = decode(NODE, body)
    outputs = {
        "exitCode": "0",
        "result": "r",
        "parameters": [{"name": "p", "value": "v", "description": "kept"}],
        "artifacts": [{"name": "a", "s3": {"key": "k"}}],
        "extra": 1,
    }
    assert reply == NodeReply(NodeResult("Succeeded", "Hello", outputs, "1/2"), 90.0)
    assert not unknown


def test_a_parameter_may_have_any_scalar_as_its_value() -> None:
    parameters = b'[{"name": "a", "value": 5.0}, {"name": "b", "value": true}, {"name": "c"}]'
    reply, _ = decode(NODE, b'{"node": {"outputs": {"parameters": ' + parameters + b"}}}")
    assert isinstance(reply, NodeReply)
    assert reply.node is not None
    assert reply.node.outputs == {
        "parameters": [{"name": "a", "value": 5.0}, {"name": "b", "value": True}, {"name": "c"}]
    }


def test_a_patch_and_parameters_are_typed() -> None:
    patch, _ = decode(Method.WORKFLOW_POST_OPERATE, b'{"workflow": {"metadata": {"labels": null}}}')
    assert patch == WorkflowReply({"metadata": {"labels": None}})
    parameters, _ = decode(Method.PARAMETERS_ADD, b'{"parameters": {"hello": "good: morning"}}')
    assert parameters == ParametersReply({"hello": "good: morning"})


def test_unknown_fields_are_ignored_and_counted() -> None:
    reply, unknown = decode(NODE, b'{"node": {"message": "m", "new": 1, "newer": 2}, "workflow": {}, "parameters": {}}')
    assert reply == NodeReply(NodeResult(message="m"))
    assert list(unknown) == ["workflow", "parameters", "node.new", "node.newer"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"node": NaN}', "not JSON"),
        (b'{"node": {"outputs": {"x": Infinity}}}', "not JSON"),
        (b'{"node": {"outputs": {"x": 1e999}}}', "infinity"),
        (b'{"node": {"outputs": {"x": -1e999}}}', "infinity"),
        (b"{} {}", "not JSON"),
        (b'{"node": {}', "not JSON"),
        (b"<html>Welcome</html>", "not JSON"),
        (b'{"node": {"message": "\xff"}}', "not JSON"),
        (b"null", "got null"),
        (b"[]", "got an array"),
        (b'"x"', "got a string"),
        (b"true", "got a boolean"),
        (b"1", "got a number"),
        (b'{"node": {"message": "a", "message": "b"}}', "'message' comes twice"),
        (b'{"node": null, "n\\u006fde": null}', "'node' comes twice"),
        (b'{"node": {"outputs": {"x": [{"a": ":", "a": 1}]}}}', "'a' comes twice"),
        (b'{"node": {"phase": "Done"}}', "'Done' - at `$.node.phase`"),
        (b'{"node": {"phase": ""}}', "$.node.phase"),
        (b'{"node": []}', "$.node"),
        (b'{"node": {"message": 5}}', "$.node.message"),
        (b'{"node": {"progress": 5}}', "$.node.progress"),
        *(
            (b'{"node": {"progress": "%s"}}' % text, "$.node.progress")
            for text in (b"50%", b"5/3", b"", b"/", b"1/", b"1", b"0/0", b"-1/2", b"1/2/3", b"1.5/2", b" 1/2")
        ),
        (b'{"node": {"outputs": []}}', "$.node.outputs"),
        (b'{"node": {"outputs": {"exitCode": 0}}}', "$.node.outputs.exitCode"),
        (b'{"node": {"outputs": {"result": {}}}}', "$.node.outputs.result"),
        (b'{"node": {"outputs": {"parameters": {}}}}', "$.node.outputs.parameters"),
        (b'{"node": {"outputs": {"parameters": [{"value": "v"}]}}}', "$.node.outputs.parameters[0]"),
        (b'{"node": {"outputs": {"parameters": [{"name": "n", "value": []}]}}}', "$.node.outputs.parameters[0].value"),
        (b'{"node": {"outputs": {"artifacts": [{}]}}}', "$.node.outputs.artifacts[0]"),
        (b'{"requeue": 5}', "$.requeue"),
        (b'{"requeue": "soon"}', "$.requeue"),
        (b'{"requeue": "-1s"}', "$.requeue"),
    ],
)
def test_an_illegal_reply_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(IllegalReply) as caught:
        decode(NODE, body)
    assert reason in str(caught.value)


def test_wrong_types_in_the_other_replies() -> None:
    with pytest.raises(IllegalReply, match=r"\$\.workflow"):
        decode(Method.WORKFLOW_PRE_OPERATE, b'{"workflow": []}')
    with pytest.raises(IllegalReply, match=r"\$\.parameters"):
        decode(Method.PARAMETERS_ADD, b'{"parameters": {"a": 1}}')


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_allowed_to_200_and_no_deeper(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"workflow":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"

    decode_object(nested(MAX_DEPTH))
    with pytest.raises(IllegalReply, match=r"nested 201 deep"):
        decode_object(nested(MAX_DEPTH + 1))
    with pytest.raises(IllegalReply):
        decode_object(nested(5000))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert decode_object(b'{"workflow": [' + b"[]," * 500 + b"[]]}") == {"workflow": [[]] * 501}


@pytest.mark.parametrize("inner", [b"[]", b"{}", b"[ ]", b"1", b'""', b'"[,{"', b'"\\\\"', b'"\\",["', b"null"])
def test_a_reply_holds_as_many_values_as_are_allowed_and_no_more(inner: bytes) -> None:
    """Whatever is in a text counts as that one text."""

    def wide(values: int) -> bytes:
        return b'{"workflow": [' + b", ".join([inner] * (values - 2)) + b"]}"

    assert len(decode_object(wide(MAX_VALUES))["workflow"]) == MAX_VALUES - 2
    with pytest.raises(TooManyValues, match="more than 20000 values"):
        decode_object(wide(MAX_VALUES + 1))
    with pytest.raises(TooManyValues):
        decode_object(wide(1_000_000))


def test_many_keys_are_many_values() -> None:
    def wide(keys: int) -> bytes:
        return b'{"workflow":{' + b",".join(b'"%d":"a:b"' % number for number in range(keys)) + b"}}"

    assert len(decode_object(wide(MAX_VALUES - 2))["workflow"]) == MAX_VALUES - 2
    with pytest.raises(TooManyValues):
        decode_object(wide(MAX_VALUES - 1))


@pytest.mark.parametrize("text", ["x", ",", "[", "{", "\\", '"', ':"', '\\"'])
def test_a_text_may_be_as_long_as_the_body(text: str) -> None:
    document = {"node": {"message": text * 1_000_000}}
    assert decode_object(json.dumps(document).encode()) == document


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_what_the_standard_library_writes_is_read_back(document: dict[str, Any]) -> None:
    # Lone surrogates are no Unicode text, and refused.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        with pytest.raises(IllegalReply):
            decode_object(body)
    else:
        assert decode_object(body) == document


@given(st.dictionaries(st.text('a[]{},:"\\\\ ', max_size=4), json_values, max_size=4), st.sampled_from([None, 1]))
def test_values_are_counted_as_they_are(document: dict[str, Any], indent: int | None) -> None:
    body = json.dumps(document, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rpc.replies.MAX_VALUES", 12)
        try:
            decode_object(body)
        except TooManyValues:
            assert count(document) > 12
        except IllegalReply:  # a lone surrogate
            pass
        else:
            assert count(document) <= 12


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c:", "{"]), json_values), min_size=1, max_size=5))
def test_a_key_that_comes_twice_is_always_found(items: list[tuple[str, Any]]) -> None:
    inner = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in items)
    body = f'{{"workflow": [{{{inner}}}]}}'.encode()
    keys = [key for key, _ in items]
    if len(set(keys)) == len(keys):
        assert decode_object(body) == {"workflow": [dict(items)]}
    else:
        with pytest.raises(IllegalReply, match="comes twice"):
            decode_object(body)


@pytest.mark.parametrize(
    ("wish", "seconds"), [("0s", 0.1), ("1ns", 0.1), ("99ms", 0.1), ("100ms", 0.1), ("101ms", 0.101)]
)
@pytest.mark.parametrize("method", [Method.NODE_PRE_EXECUTE, Method.TEMPLATE_EXECUTE])
def test_a_requeue_is_a_tenth_of_a_second_off_at_least(method: Method, wish: str, seconds: float) -> None:
    reply, unknown = decode(method, json.dumps({"requeue": wish}).encode())
    assert isinstance(reply, NodeReply)
    assert (reply.requeue, list(unknown)) == (seconds, [])
