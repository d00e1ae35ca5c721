"""Spans by OpenTelemetry: what is told of passes, waves and requests, and what travels with a request.

Whether a trace is recorded is decided where it begins, with a pass or with who asked for it. Of what is not, requests
have a ``traceparent`` that says so, one for all, and cost nothing else. This module alone needs opentelemetry-api,
which ``pip install 'oarlock[tracing]'`` brings. Attributes are those of OpenTelemetry's conventions for HTTP, and ours
begin with ``oarlock.``; ``docs/tracing.md`` has them all.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import (
    Link,
    NoOpTracerProvider,
    ProxyTracerProvider,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from rpc.address import Address
from rpc.lanes import Lane, Response, Waiting
from rpc.methods import Route
from rpc.observing import Request, RequestObserver
from rpc.spans import RESENT, About, Attributes, Span, Subject
from rpc.stats import Outcome
from rpc.statuses import in_one_line

MAX_LINKS: Final = 128
"""Nodes that a request is linked to: as many links as OpenTelemetry's SDK keeps of a span, unless it is told to."""

_GOOD: Final = frozenset({Outcome.ANSWERED, Outcome.UNSUPPORTED})
"""Not to have a method is no error (docs/protocol.md), though its status is a 404."""
_BY_STATUS: Final = frozenset({Outcome.BUSY, Outcome.BAD_STATUS})

_W3C: Final = TraceContextTextMapPropagator()
Headers = Mapping[str, str]

__all__ = ["TracerProvider", "Tracing", "tracing_by"]


def tracing_by(provider: TracerProvider | None) -> Tracing | None:
    """See `rpc.tracers.find_tracing`."""
    if provider is None:
        provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        raise TypeError(f"tracer_provider: expected a TracerProvider of OpenTelemetry, got {provider!r}")
    return None if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider) else Tracing(provider)


class Tracing:
    """Spans by the tracer of one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("oarlock", version("oarlock"))

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[Span]:
        """See `rpc.spans.Spans`. One that an exception leaves has failed."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            told = _Told(span)
            try:
                yield told
            except BaseException as error:
                told.fail(str(error), type(error).__name__)
                raise

    def requests_to(self, plugin: str, address: Address) -> RequestTracing:
        """What makes spans of the requests to one plugin."""
        return RequestTracing(self._tracer, plugin, address)

    def request_from(self, headers: Mapping[str, list[str]], verb: str, path: str, *, known: bool) -> Serving:
        """A request that came, in the trace that its headers tell of. ``known``: there is something at that path."""
        route = {"http.route": path} if known else {}
        span = self._tracer.start_span(
            f"{verb} {path}" if known else verb,
            _W3C.extract(headers),
            SpanKind.SERVER,
            {"http.request.method": verb, "url.scheme": "http", "url.path": path, **route},
        )
        return Serving(span)


class _Told:
    """A `rpc.spans.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, why: str, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, in_one_line(why)))


class Serving:
    """A request that a plugin answers."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within this, spans are children of the request's."""
        with trace.use_span(self._span):
            yield

    def raised(self, error: BaseException) -> None:
        """A function of the plugin's did."""
        self._span.record_exception(error)

    def end(self, status: int | None) -> None:
        """It is over, with this status, None where it was not answered."""
        span = self._span
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            span.set_attribute("error.type", "cancelled" if status is None else str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class RequestTracing:
    """Of the requests to one plugin."""

    def __init__(self, tracer: Tracer, plugin: str, address: Address) -> None:
        self._marked: _Marked | None = None
        self.tracer = tracer
        self.origin = address.origin
        self.known: Attributes = {
            "http.request.method": "POST",
            "oarlock.plugin": in_one_line(plugin),
            "server.address": address.host or address.socket,
            **({"server.port": address.port} if address.port else {}),
        }

    def follow(
        self, lane: Lane, observer: RequestObserver | None, route: Route, calls: int, about: About | None
    ) -> tuple[Lane, RequestObserver | None]:
        """By what to send, and whom to tell, so that there is a span for each request of an attempt.

        They are children of what goes on now, and one of them is over before the next is sent.
        """
        parent = trace.get_current_span()
        if parent.is_recording() or not parent.get_span_context().is_valid:
            traced = _Traced(self, lane, observer, route, calls, about)
            return traced, traced
        marked = self._marked
        if marked is None or marked.span is not parent or marked.lane is not lane:
            marked = self._marked = _Marked(lane, parent)
        return marked, observer


class _Marked:
    """A lane for requests of a trace that is not recorded."""

    def __init__(self, lane: Lane, span: trace.Span) -> None:
        self.lane = lane
        self.span = span
        self._headers = _headers(span)

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Headers | None = None) -> None:
        self.lane.send(path, body, waiting, self._headers)

    async def aclose(self) -> None:
        await self.lane.aclose()


class _Traced:
    """Stands between an attempt, which sends by it and tells it what came of that, and lane and observer."""

    def __init__(
        self,
        tracing: RequestTracing,
        lane: Lane,
        observer: RequestObserver | None,
        route: Route,
        calls: int,
        about: About | None,
    ) -> None:
        self._tracing = tracing
        self._lane = lane
        self._observer = observer
        self._attributes = {**tracing.known, "oarlock.method": str(route), "oarlock.calls": calls}
        self._about = about
        self._context = context.get_current()
        if resent := RESENT.get():
            self._attributes["http.request.resend_count"] = resent
        self._span: trace.Span = trace.INVALID_SPAN
        self._waiting: Waiting | None = None
        self._status = 0
        self._why = ""

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Headers | None = None) -> None:
        """See `rpc.lanes.Lane`."""
        tracing, attributes = self._tracing, {**self._attributes, "url.full": self._tracing.origin + path}
        subjects = list(islice(self._about(), MAX_LINKS)) if self._about is not None else []
        if len(subjects) == 1:
            attributes |= _named(subjects[0])
        self._span = tracing.tracer.start_span(
            f"POST {path}", self._context, SpanKind.CLIENT, attributes, list(map(_link, subjects))
        )
        self._waiting, self._status, self._why = waiting, 0, ""
        self._lane.send(path, body, self, _headers(self._span))

    async def aclose(self) -> None:
        await self._lane.aclose()

    # What the lane sees (`rpc.lanes.Waiting`)

    def done(self) -> bool:
        return self._waiting is None or self._waiting.done()

    def set_result(self, result: Response, /) -> None:
        if self._waiting is not None:
            self._status = result.status
            self._waiting.set_result(result)

    def set_exception(self, exception: Exception, /) -> None:
        if self._waiting is not None:
            self._why = str(exception)
            self._waiting.set_exception(exception)

    def requested(self, request: Request) -> None:
        """See `rpc.observing.RequestObserver`."""
        span, outcome = self._span, request.outcome
        self._span, self._waiting = trace.INVALID_SPAN, None
        if span.is_recording():
            span.set_attributes({"oarlock.outcome": str(outcome), "oarlock.waited": request.waited})
            if self._status:
                span.set_attribute("http.response.status_code", self._status)
            if outcome not in _GOOD:
                span.set_attribute("error.type", str(self._status) if outcome in _BY_STATUS else str(outcome))
                span.set_status(Status(StatusCode.ERROR, in_one_line(self._why) or None))
            span.end()
        if self._observer is not None:
            self._observer.requested(request)


def _headers(span: trace.Span) -> Headers:
    """What tells a plugin of its caller's span (W3C Trace Context), and is nothing but text in one line."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, trace.set_span_in_context(span, context.Context()))
    return {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}


def _link(subject: Subject) -> Link:
    """A link to a node, which is no span: by what it is known in every pass, also after a restart."""
    node = xxh3_64_intdigest(f"{subject.workflow}/{subject.id}".encode()) or 1
    return Link(SpanContext(_trace_of(subject.workflow), node, is_remote=True), _named(subject))


def _named(subject: Subject) -> dict[str, str]:
    return {"oarlock.node.id": subject.id, "oarlock.node.name": in_one_line(subject.name)}


@functools.lru_cache(maxsize=256)
def _trace_of(workflow: str) -> int:
    """A trace id for a workflow: its uid is one as it stands, unless somebody has made it up."""
    try:
        return uuid.UUID(workflow).int or 1
    except ValueError:
        return xxh3_128_intdigest(workflow.encode()) or 1
