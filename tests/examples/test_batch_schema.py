"""docs/batch.schema.json says what docs/batches.md says, and what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from rpc.methods import BATCHES, Method
from rpc.plugin import Plugin, Unavailable
from rpc.replies import IllegalReply, validate
from tests.examples.conftest import ROOT
from tests.examples.schema import SCHEMA, check, validator

PAGE = (ROOT / "docs/batches.md").read_text()
SHOWN = [json.loads(text) for text in re.findall(r"(?ms)^```json\n(.*?)^```", PAGE)]
(REQUEST,) = (document for document in SHOWN if "calls" in document)
REPLIES = [document for document in SHOWN if "replies" in document]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    parts = [each["$ref"].removeprefix("#/$defs/") for each in SCHEMA["anyOf"]]
    assert sorted(parts) == sorted(f"{method}.{part}" for method in BATCHES for part in ("request", "reply"))
    assert set(parts) <= SCHEMA["$defs"].keys()


def test_everything_that_the_page_shows_is_by_the_schema() -> None:
    assert len(REPLIES) + 1 == len(SHOWN) > 3
    for document in SHOWN:
        Draft202012Validator(SCHEMA).validate(document)
    check("node.preExecute.request", REQUEST)
    for reply in REPLIES:
        check("node.preExecute.reply", reply)


@pytest.mark.parametrize(
    ("part", "document"),
    [
        ("node.preExecute.request", {}),
        ("node.preExecute.request", {**REQUEST, "calls": []}),
        ("node.preExecute.request", {**REQUEST, "calls": [{"template": "main"}]}),
        ("node.preExecute.request", {**REQUEST, "calls": [{"node": REQUEST["calls"][0]["node"]}]}),
        ("node.preExecute.request", {**REQUEST, "templates": []}),
        ("node.postExecute.request", REQUEST),
        ("parameters.add.request", {**REQUEST, "workflow": None}),
        ("node.preExecute.reply", {}),
        ("node.preExecute.reply", {"replies": {}}),
        ("node.preExecute.reply", {"replies": [None]}),
        ("node.preExecute.reply", {"replies": [[]]}),
        ("node.preExecute.reply", {"replies": [{"error": {"message": "without a status"}}]}),
        ("node.preExecute.reply", {"replies": [{"error": {"status": 200}}]}),
        ("node.preExecute.reply", {"replies": [{"error": None}]}),
        ("node.preExecute.reply", {"replies": [], "resend": "never"}),
        ("node.preExecute.reply", {"replies": [], "resend": "changed", "resendAfter": 600}),
        ("node.preExecute.reply", {"replies": [], "resend": "changed", "resendAfter": "-1s"}),
        ("parameters.add.reply", {"replies": [{"parameters": {"a": 1}}]}),
    ],
)
def test_what_is_wrong_is_not_by_the_schema(part: str, document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(part, document)


async def test_what_the_sdk_answers_is_by_the_schema() -> None:
    plugin = Plugin("p", resend="changed", resend_after="10m")

    @plugin.on("node.preExecute")
    @plugin.on("node.postExecute")
    def answer(args: dict[str, Any]) -> dict[str, Any] | None:
        node = args.get("node") or args["new"]
        match node["name"]:
            case "broken":
                raise KeyError("a")
            case "busy":
                raise Unavailable("not now", retry_after=0.5)
            case "quiet":
                return None
        return {"node": {"phase": "Succeeded", "outputs": {"parameters": [{"name": "a", "value": 1}]}}, "requeue": "2m"}

    plugin.on_batch("parameters.add")(lambda calls: [{"parameters": {"a": "b"}} for _ in calls])

    nodes = [{"id": name, "name": name, "phase": "Running"} for name in ("broken", "busy", "quiet", "a")]
    calls: dict[str, list[dict[str, Any]]] = {
        "node.preExecute": [{"template": "main", "node": node} for node in nodes],
        "node.postExecute": [{"template": "main", "old": node, "new": node} for node in nodes],
        "parameters.add": [{"template": "main"}, {"template": "main"}],
    }
    async with plugin.serve() as address, aiohttp.ClientSession(address) as session:
        for method, each in calls.items():
            request = {**REQUEST, "calls": each}
            check(f"{method}.request", request)
            async with session.post(f"/{method}.batch", json=request) as response:
                assert response.status == 200
                reply = await response.json()
            check(f"{method}.reply", reply)
            assert len(reply["replies"]) == len(each)


# Replies that are right, or nearly: what the engine takes for one is one by the schema, and nothing else is.

texts = st.sampled_from(["", "a", "Running", "Succeeded", "1.5s", "2m", "1h30m", "0", "+1s", "1", ".s", "-1s", "1s "])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, -1.5]) | texts
anything = st.recursive(
    scalars, lambda each: st.lists(each, max_size=2) | st.dictionaries(texts, each, max_size=2), max_leaves=3
)


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """With any of these members, whose values are usually as they should be, and perhaps one that nobody knows."""
    optional = {key: value | st.none() | anything for key, value in members.items()}
    return st.fixed_dictionaries({}, optional={**optional, "unknown": anything})


named = st.lists(objects(name=texts, value=scalars), max_size=2)
outputs = objects(parameters=named, artifacts=named, result=texts, exitCode=texts)
results = objects(phase=texts, message=texts, progress=texts, outputs=outputs)  # id and name: not by themselves
node_replies = objects(node=results, requeue=texts)
parameter_replies = objects(parameters=st.dictionaries(texts, texts, max_size=2))


@pytest.mark.parametrize(
    ("method", "replies"),
    [
        (Method.NODE_PRE_EXECUTE, node_replies),
        (Method.NODE_POST_EXECUTE, node_replies),
        (Method.PARAMETERS_ADD, parameter_replies),
    ],
)
def test_a_reply_is_legal_where_the_schema_says_so(method: Method, replies: st.SearchStrategy[Any]) -> None:
    by_schema = validator(f"{method}.reply")

    @given(replies)
    def agree(reply: Any) -> None:
        complaint = next((error.message for error in by_schema.iter_errors({"replies": [reply]})), None)
        refused: str | None = None
        try:
            validate(method, json.loads(json.dumps(reply)))
        except IllegalReply as why:
            refused = str(why)
        assert (complaint is None) == (refused is None), (complaint, refused)

    agree()
