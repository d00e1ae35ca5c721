"""A plugin that traces goes on with the trace that a request is part of, and says what came of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from rpc.plugin import Plugin, Unavailable
from tests.rpc.plugin.peers import Peer, request

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_PRE = "/node.preExecute"
_POST = "/node.postExecute"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(exporter: InMemorySpanExporter) -> Iterator[Plugin]:
    """One function answers at once, the other when it is told to; what is asked for may be to raise."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("theirs")
    plugin = Plugin("traced", tracer_provider=provider)

    def answer(args: dict[str, Any]) -> dict[str, Any]:
        with tracer.start_as_current_span("theirs", attributes={"name": args.get("name", "")}):
            if args.get("raise") == "unavailable":
                raise Unavailable("not now")
            if args.get("raise"):
                raise ValueError("no")
            return {}

    @plugin.on("node.preExecute")
    def at_once(args: dict[str, Any]) -> dict[str, Any]:
        return answer(args)

    @plugin.on("node.postExecute")
    async def later(args: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return answer(args)

    yield plugin
    provider.shutdown()


def _parent(span: int, *, sampled: bool = True) -> str:
    return f"traceparent: 00-{_TRACE}-{span:016x}-{int(sampled):02x}"


async def _talk(plugin: Plugin, *requests: bytes) -> list[int]:
    """The statuses of requests that are all sent before any answer is read."""
    async with plugin.serve() as address:
        peer = await Peer.of(address)
        await peer.send(b"".join(requests))
        statuses = [(await peer.answer())[0] for _ in requests]
        await peer.close()
    return statuses


def _spans(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in exporter.get_finished_spans() if each.name == name]


@pytest.mark.parametrize("paths", [(_PRE,) * 3, (_POST,) * 3, (_POST, _PRE, _POST), (_PRE, _POST, _PRE)])
async def test_each_of_pipelined_requests_is_in_its_own_trace(
    paths: tuple[str, ...], traced: Plugin, exporter: InMemorySpanExporter
) -> None:
    requests = [request(path, b'{"name":"%d"}' % n, *([_parent(n)] if n else [])) for n, path in enumerate(paths)]
    assert await _talk(traced, *requests) == [200] * 3
    theirs = {(each.attributes or {})["name"]: each for each in _spans(exporter, "theirs")}
    served = {each.context.span_id: each for path in {*paths} for each in _spans(exporter, f"POST {path}")}
    for number in range(3):
        span = theirs[str(number)]
        assert span.parent is not None
        above = served[span.parent.span_id].parent
        assert (above and (above.span_id, f"{above.trace_id:032x}")) == ((number, _TRACE) if number else None)


@pytest.mark.parametrize("path", [_PRE, _POST])
async def test_what_was_answered_is_told(path: str, traced: Plugin, exporter: InMemorySpanExporter) -> None:
    bodies = [b"{}", b"no JSON", b'{"raise":"unavailable"}', b'{"raise":"error"}']
    assert await _talk(traced, *(request(path, body, _parent(1)) for body in bodies)) == [200, 400, 503, 500]
    spans = _spans(exporter, f"POST {path}")
    told = [{**(each.attributes or {})} for each in spans]
    assert [each["http.response.status_code"] for each in told] == [200, 400, 503, 500]
    assert [each.get("error.type") for each in told] == [None, None, "503", "500"]
    failed = [each.status.status_code is StatusCode.ERROR for each in spans]
    assert failed == [False, False, True, True]
    assert [[(event.attributes or {})["exception.message"] for event in each.events] for each in spans] == [
        [],
        [],
        ["not now"],
        ["no"],
    ]
    assert {key: value for key, value in told[0].items() if key != "http.response.status_code"} == {
        "http.request.method": "POST",
        "http.route": path,
        "url.path": path,
        "url.scheme": "http",
    }


async def test_what_nobody_has_asked_for_makes_no_names(traced: Plugin, exporter: InMemorySpanExporter) -> None:
    requests = [request(path, b"{}", _parent(1)) for path in ("/else", "/%1b[31m?token=secret")]
    assert await _talk(traced, *requests, request(_PRE, verb="GET")) == [404, 404, 405]
    spans = exporter.get_finished_spans()
    assert [each.name for each in spans] == ["POST", "POST", "GET"]
    assert not any("secret" in str(each.attributes) for each in spans)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["traceparent: 00-0-0-01"],
        ["traceparent: " + "0" * 600],
        [f"traceparent: 00-{'0' * 32}-{'0' * 16}-01"],
        ["traceparent: \xff", "tracestate: \xff"],
        ["tracestate: a=b"],
    ],
)
async def test_without_a_trace_that_can_be_read_one_begins(
    headers: list[str], traced: Plugin, exporter: InMemorySpanExporter
) -> None:
    assert await _talk(traced, request(_PRE, b"{}", *headers)) == [200]
    (served,) = _spans(exporter, f"POST {_PRE}")
    assert served.parent is None
    assert len(_spans(exporter, "theirs")) == 1


async def test_the_state_of_a_trace_goes_on_with_it(traced: Plugin, exporter: InMemorySpanExporter) -> None:
    headers = [_parent(1), "tracestate: a=1", "TraceState: b=2"]
    assert await _talk(traced, request(_PRE, b"{}", *headers)) == [200]
    assert [{**each.context.trace_state} for each in _spans(exporter, "theirs")] == [{"a": "1", "b": "2"}]


async def test_of_a_trace_that_is_not_sampled_nothing_is_recorded(
    traced: Plugin, exporter: InMemorySpanExporter
) -> None:
    assert await _talk(traced, request(_PRE, b"{}", _parent(1, sampled=False))) == [200]
    assert exporter.get_finished_spans() == ()


async def test_a_function_that_is_stopped_ends_its_span(exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    plugin, called = Plugin("slow", tracer_provider=provider), asyncio.Event()

    @plugin.on("node.preExecute")
    async def never(args: dict[str, Any]) -> None:
        called.set()
        await asyncio.Event().wait()

    async with plugin.serve() as address:
        peer = await Peer.of(address)
        await peer.send(request(_PRE, b"{}", _parent(1)))
        await called.wait()
    await peer.close()
    (span,) = exporter.get_finished_spans()
    attributes: Mapping[str, object] = span.attributes or {}
    assert attributes["error.type"] == "cancelled"
    assert "http.response.status_code" not in attributes
    provider.shutdown()


async def test_a_plugin_that_does_not_trace_leaves_its_functions_alone(plugin: Plugin) -> None:
    seen = list[trace.Span]()

    @plugin.on("node.preExecute")
    def look(args: dict[str, Any]) -> None:
        seen.append(trace.get_current_span())

    assert await _talk(plugin, request(_PRE, b"{}", _parent(1))) == [200]
    assert seen == [trace.INVALID_SPAN]
