"""What a call is answered does not depend on how it travelled: by itself, or in a batch."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rpc.plugin import Plugin, Unavailable
from tests.rpc.posting import BATCH, PRE, TEMPLATES, WORKFLOW, Answer, batch, post

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
behaviours = st.one_of(
    st.tuples(st.sampled_from(["return", "return an error", "raise"]), st.text(max_size=20)),
    st.tuples(st.just("unavailable"), st.none() | st.floats(-10, 100)),
    st.tuples(st.just("reply"), json_values),
    st.tuples(st.sampled_from(["nothing", "echo", "unencodable"]), st.none()),
)


def behave(args: dict[str, Any]) -> Any:
    kind, value = args["node"]["behaviour"]
    match kind:
        case "raise":
            raise ValueError(value)
        case "return an error":
            return KeyError(value)
        case "unavailable":
            raise Unavailable("not now", retry_after=value)
        case "unencodable":
            return {"a": object()}
        case "echo":
            return dict(args)
        case "nothing":
            return None
    return value


async def behave_later(args: dict[str, Any]) -> Any:
    await asyncio.sleep(0)
    return behave(args)


def behave_all(calls: list[dict[str, Any]]) -> list[Any]:
    replies: list[Any] = []
    for args in calls:
        try:
            replies.append(behave(args))
        except Exception as error:
            replies.append(error)
    return replies


def entry(answer: Answer) -> Any:
    """A single call's answer as it stands in a batch's reply."""
    if answer.status == 200:
        return answer.json
    error = {"status": answer.status, **answer.json}
    if answer.retry_after is not None:
        error["retryAfter"] = int(answer.retry_after)
    return {"error": error}


@given(
    calls=st.lists(st.tuples(st.sampled_from(list(TEMPLATES)), behaviours), max_size=6),
    registration=st.sampled_from([("on", behave), ("on", behave_later), ("on_batch", behave_all)]),
)
async def test_a_call_is_answered_in_a_batch_as_by_itself(calls: Any, registration: tuple[str, Any]) -> None:
    plugin = Plugin("p")
    kind, function = registration
    getattr(plugin, kind)(PRE)(function)
    sent = [{"template": key, "node": {"behaviour": behaviour}} for key, behaviour in calls]
    async with plugin.serve() as address:
        single = [
            entry(
                await post(address, f"/{PRE}", {**call, "workflow": WORKFLOW, "template": TEMPLATES[call["template"]]})
            )
            for call in sent
        ]
        answer = await post(address, BATCH, batch(*sent))
    assert answer.json == {"replies": single}
