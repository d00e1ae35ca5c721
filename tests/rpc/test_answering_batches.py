"""The SDK and batches: every call of a batch is answered as it would be by itself, or by a function for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest

from rpc.methods import BATCHES, SPELLINGS, Method, path
from rpc.plugin import Plugin, Unavailable
from tests.rpc.posting import BATCH, PRE, TEMPLATES, WORKFLOW, batch, nodes, post

FAILED = {"status": 500, "message": "the plugin failed, and its log says how"}


def message(args: dict[str, Any]) -> dict[str, Any] | None:
    """Something to say about every node but those that are called quiet."""
    name = args["node"]["name"]
    return None if name == "quiet" else {"node": {"message": name}}


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("node.preExecute", {"node": {"name": "a"}}),
        ("node.postExecute", {"old": {"name": "a", "phase": "Running"}, "new": {"name": "a", "phase": "Failed"}}),
        ("parameters.add", {}),
    ],
)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_each_call_gets_the_arguments_it_would_have_had_by_itself(
    method: Any, own: dict[str, Any], spelling: Any
) -> None:
    seen: list[dict[str, Any]] = []
    plugin = Plugin("p")
    plugin.on(method)(seen.append)
    async with plugin.serve() as address:
        where = path(BATCHES[Method(method)], spelling)
        answer = await post(address, where, batch({"template": "main", **own}, {"template": "main#2", **own}))
    assert answer.json == {"replies": [{}, {}]}
    assert len(seen) == len(TEMPLATES)
    for template in TEMPLATES.values():  # each is answered in a thread of its own: either may come first
        assert {"workflow": WORKFLOW, "template": template, **own} in seen


@pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate", "template.execute"])
async def test_the_other_methods_have_no_batches(method: str) -> None:
    plugin = Plugin("p")
    plugin.on(method)(lambda args: None)
    async with plugin.serve() as address:
        assert (await post(address, f"/{method}.batch", nodes("a"))).status == 404
    with pytest.raises(ValueError, match=r"has no batches, only node\.preExecute, node\.postExecute, parameters\.add"):
        plugin.on_batch(method)


async def test_a_plugin_without_the_method_has_not_its_batch() -> None:
    plugin = Plugin("p")
    plugin.on("node.postExecute")(lambda args: None)
    async with plugin.serve() as address:
        assert (await post(address, BATCH, nodes("a"))).status == 404


async def test_batches_can_be_refused() -> None:
    plugin = Plugin("p", batches=False)
    plugin.on(PRE)(message)
    plugin.on_batch("parameters.add")(lambda calls: [{"parameters": {"a": "b"}}])
    async with plugin.serve() as address:
        for spelling in SPELLINGS:
            for method in (Method.NODE_PRE_EXECUTE, Method.PARAMETERS_ADD):
                assert (await post(address, path(BATCHES[method], spelling), nodes("a"))).status == 404
        assert (await post(address, f"/{PRE}", {"node": {"name": "a"}})).json == {"node": {"message": "a"}}
        assert (await post(address, "/parameters.add", {})).json == {"parameters": {"a": "b"}}


@pytest.mark.parametrize("nothing", [None, {}])
@pytest.mark.parametrize("count", [0, 1, 2, 256])
async def test_nothing_to_say_is_said_in_as_few_bytes_as_can_be(count: int, nothing: Any) -> None:
    plugin = Plugin("p")
    plugin.on(PRE)(lambda args: nothing)
    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes(*["a"] * count))
    assert answer == (200, orjson.dumps({"replies": [{}] * count}), None)


async def test_async_functions_of_a_batch_run_together_and_are_answered_in_order() -> None:
    plugin = Plugin("p")
    last = asyncio.Event()

    @plugin.on(PRE)
    async def wait_for_the_last(args: dict[str, Any]) -> dict[str, Any] | None:
        if args["node"]["name"] == "c":
            last.set()
        await last.wait()
        return message(args)

    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes("a", "quiet", "b", "c"))
    assert answer.json["replies"] == [message({"node": {"name": name}}) or {} for name in ("a", "quiet", "b", "c")]


def fail(args: dict[str, Any]) -> Any:
    match args["node"]["name"]:
        case "broken":
            raise KeyError("no such thing" * 100)
        case "busy":
            raise Unavailable("the shard is moving", retry_after=1.2)
        case "busy for how long?":
            raise Unavailable("the shard is moving", retry_after=float("inf"))
        case "list":
            return []
        case "set":
            return {"node": {"message": {"a"}}}
        case "file":
            raise FileNotFoundError("no \udcff here")
    return message(args)


async def fail_later(args: dict[str, Any]) -> Any:
    await asyncio.sleep(0)
    return fail(args)


@pytest.mark.parametrize("function", [fail, fail_later])
async def test_an_error_is_for_its_own_call(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    plugin = Plugin("p")
    plugin.on(PRE)(function)
    names = ("a", "busy", "busy for how long?", "broken", "quiet", "list", "set", "file")
    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes(*names))
    assert answer.status == 200
    told = dict(zip(names, answer.json["replies"], strict=True))
    assert told["a"] == {"node": {"message": "a"}}
    assert told["quiet"] == {}
    assert told["busy"] == {"error": {"status": 503, "message": "the shard is moving", "retryAfter": 2}}
    assert told["busy for how long?"] == {"error": {"status": 503, "message": "the shard is moving"}}
    for name in ("broken", "list", "set", "file"):
        assert told[name] == {"error": FAILED}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "plugin p failed in 4 of 8 calls of a node.preExecute batch, first with this"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


async def test_a_function_that_cancels_itself_is_an_error_of_its_own_call() -> None:
    plugin = Plugin("p")

    @plugin.on(PRE)
    async def cancel(args: dict[str, Any]) -> dict[str, Any] | None:
        if args["node"]["name"] == "cancelled":
            raise asyncio.CancelledError
        return message(args)

    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes("cancelled", "a"))
    assert answer.json["replies"][0]["error"]["status"] == 500
    assert answer.json["replies"][1] == {"node": {"message": "a"}}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_for_all_calls_gets_them_as_one_list(asynchronous: bool) -> None:
    plugin = Plugin("p")
    seen: list[list[dict[str, Any]]] = []

    def answer_all(calls: list[dict[str, Any]]) -> list[Any]:
        seen.append(list(calls))
        calls.reverse()  # the list is the function's own
        return [None, {"node": {"phase": "Succeeded"}}, Unavailable("not this one", retry_after=3), ValueError("bad")]

    async def answer_all_later(calls: list[dict[str, Any]]) -> list[Any]:
        await asyncio.sleep(0)
        return answer_all(calls)

    plugin.on_batch(PRE)(answer_all_later if asynchronous else answer_all)
    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes("a", "b", "c", "d"))
    assert answer.json["replies"] == [
        {},
        {"node": {"phase": "Succeeded"}},
        {"error": {"status": 503, "message": "not this one", "retryAfter": 3}},
        {"error": FAILED},
    ]
    assert seen == [
        [{"workflow": WORKFLOW, "template": TEMPLATES["main"], "node": {"name": name}} for name in ("a", "b", "c", "d")]
    ]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("wrong", [None, {}, [], [None], [None] * 3, (each for each in [None, None]), "ab"])
async def test_a_function_for_all_calls_must_answer_each(
    wrong: Any, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = Plugin("p")

    async def later(calls: list[dict[str, Any]]) -> Any:
        return wrong

    plugin.on_batch(PRE)(later if asynchronous else lambda calls: wrong)
    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes("a", "b"))
    assert answer.status == 500
    assert answer.json == {"message": FAILED["message"]}
    (record,) = caplog.records
    assert record.message == f"plugin p failed in {BATCH}"
    assert record.exc_info is not None
    if type(wrong) is list:
        assert str(record.exc_info[1]) == f"returned {len(wrong)} replies to 2 calls"
    else:
        assert str(record.exc_info[1]) == f"returned {type(wrong).__name__}, not a list of replies"


async def test_what_a_function_for_all_calls_raises_is_for_all_of_them() -> None:
    plugin = Plugin("p")

    @plugin.on_batch(PRE)
    def away(calls: list[dict[str, Any]]) -> list[Any]:
        raise Unavailable("my database is away", retry_after=7)

    @plugin.on_batch("parameters.add")
    async def broken(calls: list[dict[str, Any]]) -> list[Any]:
        raise KeyError("name")

    async with plugin.serve() as address:
        answer = await post(address, BATCH, nodes("a", "b"))
        assert (answer.status, answer.json, answer.retry_after) == (503, {"message": "my database is away"}, "7")
        answer = await post(address, "/parameters.add.batch", nodes("a", "b"))
        assert (answer.status, answer.json) == (500, {"message": FAILED["message"]})


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_for_all_calls_serves_single_ones_too(asynchronous: bool) -> None:
    plugin = Plugin("p")

    def answer_all(calls: list[dict[str, Any]]) -> list[Any]:
        names = [args["node"]["name"] for args in calls]
        return {"few": [], "busy": [Unavailable("later")]}.get(names[0]) or [message(args) for args in calls]

    async def answer_all_later(calls: list[dict[str, Any]]) -> list[Any]:
        return [] if calls[0]["node"]["name"] == "few" else answer_all(calls)

    plugin.on_batch(PRE)(answer_all_later if asynchronous else answer_all)
    async with plugin.serve() as address:
        for spelling in SPELLINGS:
            where = path(Method.NODE_PRE_EXECUTE, spelling)
            assert (await post(address, where, {"node": {"name": "a"}})).json == {"node": {"message": "a"}}
        assert (await post(address, f"/{PRE}", {"node": {"name": "quiet"}})).body == b"{}"
        assert (await post(address, f"/{PRE}", {"node": {"name": "busy"}})).status == 503
        if asynchronous:
            assert (await post(address, f"/{PRE}", {"node": {"name": "few"}})).status == 500


@pytest.mark.parametrize("single_first", [False, True])
async def test_each_kind_of_call_has_its_own_function_where_there_are_both(single_first: bool) -> None:
    plugin = Plugin("p")
    registrations: list[Callable[[], object]] = [
        lambda: plugin.on_batch(PRE)(lambda calls: [{"node": {"message": "batch"}} for _ in calls]),
        lambda: plugin.on(PRE)(lambda args: {"node": {"message": "single"}}),
    ]
    for register in reversed(registrations) if single_first else registrations:
        register()
    async with plugin.serve() as address:
        assert (await post(address, BATCH, nodes("a"))).json == {"replies": [{"node": {"message": "batch"}}]}
        assert (await post(address, f"/{PRE}", {})).json == {"node": {"message": "single"}}
    with pytest.raises(ValueError, match=r"has a function for batches of node\.preExecute already"):
        plugin.on_batch(PRE)
    with pytest.raises(ValueError, match=r"has a function for node\.preExecute already"):
        plugin.on(PRE)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "expected an object - at `$.workflow`"),
        ({"workflow": None, "templates": {}, "calls": []}, "expected an object - at `$.workflow`"),
        ({"workflow": {}, "templates": [], "calls": []}, "expected an object - at `$.templates`"),
        ({"workflow": {}, "templates": {}}, "expected an array - at `$.calls`"),
        ({"workflow": {}, "templates": {}, "calls": {}}, "expected an array - at `$.calls`"),
        (batch({"template": "main"}, None), "expected an object - at `$.calls[1]`"),
        (batch([]), "expected an object - at `$.calls[0]`"),
        (batch("main"), "expected an object - at `$.calls[0]`"),
        (batch({"node": {}}), "expected a key of `templates` - at `$.calls[0].template`"),
        (batch({"template": "other"}), "expected a key of `templates` - at `$.calls[0].template`"),
        (batch({"template": ["main"]}), "expected a key of `templates` - at `$.calls[0].template`"),
        ([], "the arguments are not a JSON object"),
    ],
)
async def test_what_is_no_batch_is_refused_before_any_function_is_called(document: Any, complaint: str) -> None:
    plugin = Plugin("p")
    called: list[Any] = []
    plugin.on(PRE)(called.append)
    async with plugin.serve() as address:
        answer = await post(address, BATCH, document)
    assert (answer.status, answer.json) == (400, {"message": complaint})
    assert not called


async def test_a_token_is_asked_for() -> None:
    plugin = Plugin("p", token="secret")
    plugin.on(PRE)(message)
    async with plugin.serve() as address:
        assert (await post(address, BATCH, nodes("a"))).status == 401
        assert (await post(address, BATCH, nodes("a"), token="wrong")).status == 403
        assert (await post(address, BATCH, nodes("a"), token="secret")).status == 200


@pytest.mark.parametrize(("after", "beside"), [(None, {}), ("10m", {"resendAfter": "10m"})])
async def test_a_plugin_can_announce_that_the_same_need_not_be_sent_again(
    after: str | None, beside: dict[str, str]
) -> None:
    plugin = Plugin("p", resend="changed", resend_after=after)
    plugin.on(PRE)(message)
    async with plugin.serve() as address:
        quiet = await post(address, BATCH, nodes("quiet", "quiet"))
        assert quiet.body == orjson.dumps({"replies": [{}, {}], "resend": "changed", **beside})
        loud = await post(address, BATCH, nodes("a"))
        assert loud.json == {"replies": [{"node": {"message": "a"}}], "resend": "changed", **beside}
        assert (await post(address, f"/{PRE}", {"node": {"name": "quiet"}})).body == b"{}"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"resend": "never"}, "expected resend=\"changed\" or None, got 'never'"),
        ({"resend_after": "10m"}, 'resend_after goes with resend="changed"'),
        ({"resend": "changed", "batches": False}, "resend is announced in batch replies, and this plugin has none"),
        ({"resend": "changed", "resend_after": "soon"}, "'soon' is not a duration such as 500ms, 2m or 1h30m"),
        ({"resend": "changed", "resend_after": "0s"}, "resend_after is longer than 0"),
    ],
)
def test_an_announcement_that_would_not_be_understood_is_refused(options: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + complaint.replace(".", r"\.") + "$"):
        Plugin("p", **options)


async def test_functions_of_a_batch_that_still_run_at_the_end_are_cancelled() -> None:
    plugin = Plugin("p")
    started, ended = asyncio.Barrier(3), []

    @plugin.on(PRE)
    async def hang(args: dict[str, Any]) -> None:
        try:
            await started.wait()
            await asyncio.Event().wait()
        finally:
            ended.append(args["node"]["name"])

    async with plugin.serve() as address:
        call = asyncio.ensure_future(post(address, BATCH, nodes("a", "b")))
        await started.wait()
    assert sorted(ended) == ["a", "b"]
    with pytest.raises(aiohttp.ClientError):
        await call
