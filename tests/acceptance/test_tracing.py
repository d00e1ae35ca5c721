"""Traces: pass, wave and request, what plugins are sent of them, and what the SDK makes of that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from engine import Engine
from registry import Registry
from registry.config import BatchSettings, Config, EngineSettings, PluginConfig, RetrySettings, Seconds
from rpc import Method, Outcome, Request
from rpc.address import parse_address
from rpc.client import LaneName
from rpc.lanes import Waiting
from rpc.methods import BATCHES
from rpc.plugin import Plugin
from rpc.spans import Subject
from rpc.tracing import MAX_LINKS, Tracing
from tests.acceptance.manifests import container, loop, workflow
from tests.acceptance.peer import Hanging

_DOCS: Final = Path(__file__).parents[2] / "docs"
_LANES: Final = ["wire", "aiohttp"]
_SINGLE = {"batch": BatchSettings(enabled=False)}


class Traced:
    """A provider, and the spans that came to it."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, *names: str) -> list[ReadableSpan]:
        return [each for each in self.spans if each.name in names]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        return next((each for each in self.spans if span.parent and each.context.span_id == span.parent.span_id), None)

    def way_up(self, span: ReadableSpan | None) -> list[str]:
        """The names of a span, its parent, and so on."""
        names = []
        while span is not None:
            names.append(span.name)
            span = self.parent(span)
        return names


@pytest.fixture
def traced() -> Iterator[Traced]:
    it = Traced()
    yield it
    it.provider.shutdown()


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("lane", _LANES)
async def test_a_request_is_a_child_of_its_wave_and_that_of_its_pass(
    lane: str, traced: Traced, plugin: Any, engine: Any
) -> None:
    peer = await plugin({"workflow.preOperate": {}, "node.preExecute": {}}, spelling="short")
    oarlock = await engine((peer, {"lane": lane, **_SINGLE}), tracer_provider=traced.provider)
    work = workflow(loop(3), container("leaf"))
    await oarlock.run([work])
    assert {tuple(traced.way_up(each)) for each in traced.named("POST /node.preExecute")} == {
        ("POST /node.preExecute", "wave", "pass")
    }
    assert traced.way_up(traced.named("POST /workflow.preOperate")[0]) == ["POST /workflow.preOperate", "pass"]
    ended = traced.named("pass")[-1]
    assert _attributes(ended) == {
        "oarlock.workflow": "default/work",
        "oarlock.workflow.uid": work.uid,
        "oarlock.pass": oarlock.stats.passes,
        "oarlock.result": "committed",
        "oarlock.phase": "Succeeded",
    }
    assert ended.status.status_code is StatusCode.UNSET
    assert [_attributes(each)["oarlock.nodes"] for each in traced.named("wave")][:2] == [1, 3]


async def test_a_request_says_what_the_conventions_for_http_ask_for(traced: Traced, plugin: Any, engine: Any) -> None:
    peer = await plugin({"node.preExecute": {}}, spelling="v1")
    oarlock = await engine((peer, _SINGLE), tracer_provider=traced.provider)
    await oarlock.run([workflow(container("leaf"))])
    request = traced.named("POST /api/v1/node.preExecute")[0]
    port = int(peer.address.rpartition(":")[2])
    assert request.kind is SpanKind.CLIENT
    assert {key: value for key, value in _attributes(request).items() if key != "oarlock.waited"} == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": f"{peer.address}/api/v1/node.preExecute",
        "oarlock.plugin": "plugin-1",
        "oarlock.method": "node.preExecute",
        "oarlock.calls": 1,
        "oarlock.node.id": "work",
        "oarlock.node.name": "work",
        "oarlock.outcome": "answered",
    }
    missing = traced.named("POST /node.preExecute")[0]  # which is the protocol's way to say so
    assert (missing.status.status_code, _attributes(missing)["http.response.status_code"]) == (StatusCode.UNSET, 404)


@pytest.mark.parametrize("lane", _LANES)
async def test_a_plugin_is_sent_the_span_of_its_request(lane: str, traced: Traced, plugin: Any, engine: Any) -> None:
    peer = await plugin({"node.preExecute": {}})
    oarlock = await engine((peer, {"lane": lane, **_SINGLE}), tracer_provider=traced.provider)
    with trace.use_span(trace.NonRecordingSpan(_remote("vendor=one"))):
        await oarlock.reconcile(workflow(loop(2), container("leaf")))
    spans = [each for each in traced.spans if each.kind is SpanKind.CLIENT]
    assert sorted(each["traceparent"] for each in peer.headers) == sorted(
        f"00-{each.context.trace_id:032x}-{each.context.span_id:016x}-01" for each in spans
    )
    assert {each["tracestate"] for each in peer.headers} == {"vendor=one"}
    assert {each.context.trace_id for each in traced.spans} == {_remote().trace_id}  # that of who asked for the pass


def _remote(state: str = "") -> trace.SpanContext:
    entries = [tuple(each.split("=")) for each in state.split(",") if each]
    return trace.SpanContext(7, 8, True, trace.TraceFlags(1), trace.TraceState([(a, b) for a, b in entries]))


@pytest.mark.parametrize("lane", _LANES)
async def test_of_a_trace_that_is_not_sampled_nothing_is_recorded_and_plugins_are_told(
    lane: str, plugin: Any, engine: Any
) -> None:
    traced = Traced(ALWAYS_OFF)
    peer = await plugin({"node.preExecute": {}})
    oarlock = await engine((peer, {"lane": lane, **_SINGLE}), tracer_provider=traced.provider)
    await oarlock.run([workflow(loop(3), container("leaf"))])
    assert traced.spans == []
    parents = [each["traceparent"] for each in peer.headers]
    assert len(parents) > 3
    for each in parents:
        _, of, span, flags = (int(part, 16) for part in each.split("-"))
        assert (of > 0, span > 0, flags & trace.TraceFlags.SAMPLED) == (True, True, 0)


async def test_each_retry_is_a_span_of_its_own_in_the_same_wave(traced: Traced, plugin: Any, engine: Any) -> None:
    answers = iter([503, 503])
    peer = await plugin({"node.preExecute": lambda args: next(answers, {})}, spelling="short")
    settings = {"retry": RetrySettings(attempts=3, backoff=Seconds(0.001)), **_SINGLE}
    oarlock = await engine((peer, settings), tracer_provider=traced.provider)
    await oarlock.run([workflow(container("leaf"))])
    spans = traced.named("POST /node.preExecute")[:3]
    assert [_attributes(each)["http.response.status_code"] for each in spans] == [503, 503, 200]
    assert [each.status.status_code for each in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert [_attributes(each).get("error.type") for each in spans] == ["503", "503", None]
    assert [_attributes(each).get("http.request.resend_count") for each in spans] == [None, 1, 2]
    assert len({each.context.span_id for each in spans}) == 3
    assert len({each.parent.span_id for each in spans if each.parent}) == 1


async def test_a_retry_by_a_slot_that_had_been_answered_before_is_in_the_wave_too(
    traced: Traced, plugin: Any, engine: Any
) -> None:
    failing = iter([503] * 2)

    def answer(args: dict[str, Any]) -> Any:
        return next(failing, {}) if args["node"]["displayName"].startswith("each(5:") else {}

    peer = await plugin({"node.preExecute": answer}, spelling="short")
    settings = {"retry": RetrySettings(attempts=3, backoff=Seconds(0.001)), "concurrency": 1, **_SINGLE}
    oarlock = await engine((peer, settings), tracer_provider=traced.provider, workers=1)
    await oarlock.run([workflow(loop(8), container("leaf"))])
    assert sum(_attributes(each).get("error.type") == "503" for each in traced.spans) == 2
    assert {traced.way_up(each)[1] for each in traced.named("POST /node.preExecute")} == {"wave"}


@pytest.mark.parametrize("lane", _LANES)
async def test_a_plugin_that_is_not_there_is_an_error_of_request_and_pass(
    lane: str, traced: Traced, plugin: Any, engine: Any
) -> None:
    peer = await plugin({})
    await peer.stop()
    settings = {"lane": lane, "retry": RetrySettings(attempts=1)}
    oarlock = await engine((peer, settings), tracer_provider=traced.provider)
    result = await oarlock.reconcile(workflow(container("leaf")))
    request, aborted = traced.spans
    assert (request.status.status_code, _attributes(request)["error.type"]) == (StatusCode.ERROR, "unreachable")
    assert "http.response.status_code" not in _attributes(request)
    assert request.status.description
    assert (aborted.name, aborted.status.status_code) == ("pass", StatusCode.ERROR)
    assert aborted.status.description == str(result.aborted)
    assert _attributes(aborted)["oarlock.result"] == "aborted"
    assert _attributes(aborted)["error.type"] == "TransientError"


async def test_an_aborted_pass_takes_the_wave_with_it(traced: Traced, plugin: Any, engine: Any) -> None:
    peer = await plugin({"node.preExecute": 503})
    oarlock = await engine((peer, {"retry": RetrySettings(attempts=1)}), tracer_provider=traced.provider)
    await oarlock.reconcile(workflow(container("leaf")))
    assert {each.status.status_code for each in traced.named("wave", "pass")} == {StatusCode.ERROR}


async def test_a_reply_that_is_none_is_an_error_though_its_status_is_good(
    traced: Traced, plugin: Any, engine: Any
) -> None:
    peer = await plugin({"node.preExecute": {"node": 1}})
    oarlock = await engine((peer, _SINGLE), tracer_provider=traced.provider)
    await oarlock.run([workflow(container("leaf"))])
    request = traced.named("POST /node.preExecute")[0]
    assert (_attributes(request)["http.response.status_code"], _attributes(request)["error.type"]) == (200, "illegal")
    assert request.status.status_code is StatusCode.ERROR


async def test_a_request_that_is_cancelled_ends_its_span(traced: Traced, plugin: Any, engine: Any) -> None:
    hang = Hanging()
    oarlock = await engine(await plugin({"workflow.preOperate": hang}), tracer_provider=traced.provider)
    passing = asyncio.create_task(oarlock.reconcile(workflow(container("leaf"))))
    await hang.asked.wait()
    passing.cancel()
    await asyncio.gather(passing, return_exceptions=True)
    hang.leave.set()
    assert [_attributes(each)["error.type"] for each in traced.spans] == ["cancelled", "CancelledError"]


async def test_a_batch_is_linked_to_its_nodes_in_every_pass_alike(traced: Traced, plugin: Any, engine: Any) -> None:
    peer = await plugin({"node.preExecute": {}})
    peer.batches = True
    oarlock = await engine((peer, {"cache": "off"}), tracer_provider=traced.provider)
    work = workflow(loop(3), container("leaf"))
    await oarlock.run([work])
    batches = [each for each in traced.named("POST /node.preExecute.batch") if len(each.links) >= 3]
    named = [
        {str((link.attributes or {})["oarlock.node.name"]): link.context for link in each.links} for each in batches
    ]
    leaves = {f"work[0].each({n}:{n})" for n in range(3)}
    assert named
    assert leaves <= named[0].keys()
    assert [_attributes(each)["oarlock.calls"] for each in batches] == [len(each.links) for each in batches]
    assert all(each[leaf].span_id == named[0][leaf].span_id for each in named for leaf in leaves & each.keys())
    assert len({context.span_id for context in named[0].values()}) == len(named[0])
    assert {f"{context.trace_id:032x}" for context in named[0].values()} == {work.uid.replace("-", "")}


def test_links_of_a_batch_are_bounded_and_its_calls_are_told(traced: Traced) -> None:
    class Nowhere:
        def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None: ...
        async def aclose(self) -> None: ...

    route, calls = BATCHES[Method.NODE_PRE_EXECUTE], 10 * MAX_LINKS
    about = (Subject("w", str(number), str(number)) for number in range(calls))
    requests = Tracing(traced.provider).requests_to("plugin", parse_address("unix:///run/plugin.sock"))
    lane, observer = requests.follow(Nowhere(), None, route, calls, lambda: about)
    assert observer is not None
    lane.send("/node.preExecute.batch", b"{}", Future())
    observer.requested(Request("plugin", route, calls, b"", b"", 0.0, 0.0, Outcome.TIMED_OUT, 0.0))
    (span,) = traced.spans
    assert (len(span.links), span.dropped_links) == (MAX_LINKS, 0)
    assert next(about).id == str(MAX_LINKS)  # nobody looked at the others
    assert _attributes(span)["oarlock.calls"] == calls
    assert _attributes(span)["server.address"] == "/run/plugin.sock"
    assert "server.port" not in _attributes(span)


async def test_nothing_in_a_name_can_steer_a_terminal(traced: Traced, plugin: Any, engine: Any) -> None:
    main = {"name": "main", "steps": [[{"name": "a", "template": "leaf", "withItems": ["\u202ered"]}]]}
    peer = await plugin({"node.preExecute": {}})
    oarlock = await engine((peer, _SINGLE), tracer_provider=traced.provider)
    await oarlock.run([workflow(main, container("leaf"))])
    asked = [_attributes(each) for each in traced.spans if each.kind is SpanKind.CLIENT]
    names = {each["oarlock.node.name"] for each in asked if "oarlock.node.name" in each}
    assert any("\\u202ered" in name for name in names)
    assert all(name.isprintable() for name in names)


async def test_batches_that_are_sent_again_say_so(traced: Traced, plugin: Any, engine: Any) -> None:
    failing = iter([503, 503])
    peer = await plugin({"node.preExecute": lambda args: next(failing, {})})
    peer.batches = True
    settings = {"retry": RetrySettings(attempts=3, backoff=Seconds(0.001))}
    oarlock = await engine((peer, settings), tracer_provider=traced.provider)
    await oarlock.run([workflow(container("leaf"))])
    sent = traced.named("POST /node.preExecute.batch")[:3]
    assert [_attributes(each).get("http.request.resend_count") for each in sent] == [None, 1, 2]


async def test_links_of_a_workflow_whose_uid_is_made_up(traced: Traced, plugin: Any, engine: Any) -> None:
    work = workflow(container("leaf"))
    named = type(work)({**work.to_dict(), "metadata": {"name": "work", "uid": "mine"}})
    oarlock = await engine((await plugin({"node.preExecute": {}}), _SINGLE), tracer_provider=traced.provider)
    await oarlock.run([named])
    (link,) = traced.named("POST /node.preExecute")[0].links
    assert link.context.is_valid


async def test_other_observers_are_told_as_ever(traced: Traced, plugin: Any, engine: Any) -> None:
    class Seen:
        def __init__(self) -> None:
            self.outcomes = list[Outcome]()

        def requested(self, request: Request) -> None:
            self.outcomes.append(request.outcome)

        def pass_begun(self, workflow: str) -> None: ...

        def pass_ended(self, ended: object) -> None: ...

    seen = Seen()
    peer = await plugin({"node.preExecute": {}})
    oarlock = await engine((peer, _SINGLE), tracer_provider=traced.provider, observer=seen)
    await oarlock.run([workflow(container("leaf"))])
    told = [_attributes(each)["oarlock.outcome"] for each in traced.spans if each.kind is SpanKind.CLIENT]
    assert told == seen.outcomes


async def test_the_docs_list_every_attribute(traced: Traced, plugin: Any, engine: Any) -> None:
    listed = set(re.findall(r"`(oarlock\.[a-z.]+)`", (_DOCS / "tracing.md").read_text()))
    oarlock = await engine((await plugin({"node.preExecute": {}}), _SINGLE), tracer_provider=traced.provider)
    await oarlock.run([workflow(container("leaf"))])
    told = {key for span in traced.spans for key in _attributes(span)}
    told |= {key for span in traced.spans for link in span.links for key in link.attributes or {}}
    assert {key for key in told if key.startswith("oarlock.")} == listed


# The SDK


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
@pytest.mark.parametrize("lane", _LANES)
async def test_spans_of_a_plugins_functions_are_in_the_trace(lane: LaneName, batched: bool, traced: Traced) -> None:
    theirs = Traced()  # another process, as it were
    tracer = theirs.provider.get_tracer("theirs")
    plugin = Plugin("theirs", tracer_provider=theirs.provider)

    @plugin.on("workflow.preOperate")
    def at_once(args: dict[str, Any]) -> None:
        tracer.start_span("at once").end()

    @plugin.on("node.preExecute")
    async def later(args: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        tracer.start_span("later").end()

    async with plugin.serve() as address:
        config = PluginConfig(
            name="theirs", address=address, timeout=Seconds(60), lane=lane, batch=BatchSettings(enabled=batched)
        )
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=(config,)))
        async with Engine(registry, tracer_provider=traced.provider) as oarlock:
            await oarlock.run([workflow(loop(3), container("leaf"))])
    mine = {each.context.span_id: each for each in traced.spans}
    suffix = ".batch" if batched else ""
    for name, path in (("at once", "/workflow.preOperate"), ("later", f"/node.preExecute{suffix}")):
        spans = theirs.named(name)
        assert spans
        for span in spans:
            serving = theirs.parent(span)
            assert serving is not None
            assert (serving.name, serving.kind) == (f"POST {path}", SpanKind.SERVER)
            assert serving.parent is not None
            asked = mine[serving.parent.span_id]
            assert (asked.name, asked.kind) == (f"POST {path}", SpanKind.CLIENT)
            assert span.context.trace_id == serving.context.trace_id == asked.context.trace_id
    assert len(theirs.named("later")) >= 4
