"""Traces are made where somebody wants them, and nobody else waits for OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from engine import Engine


def _python(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PATH": "", **environment}
    )
    return done.stdout.strip()


def test_who_does_not_trace_does_not_wait_for_opentelemetry() -> None:
    program = "import sys, rpc.plugin, engine; engine.Engine(); rpc.plugin.Plugin('p'); print(*sys.modules)"
    assert not [each for each in _python(program).split() if each.startswith("opentelemetry")]


def test_without_the_extra_there_are_no_traces() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import engine; print(engine.Engine().stats.passes)"
    assert _python(program) == "0"


_OF_THE_PROCESS = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from engine import Engine, Workflow

exporter = InMemorySpanExporter()
before = Engine()
if {provided}:
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
leaf = dict(name="leaf", container=dict(image="busybox"))
asyncio.run(Engine().reconcile(Workflow(dict(metadata=dict(name="w"), spec=dict(entrypoint="leaf", templates=[leaf])))))
print(*[span.name for span in exporter.get_finished_spans()])
"""


def test_the_provider_of_the_process_is_used_where_none_is_given() -> None:
    assert _python(_OF_THE_PROCESS.format(provided=True)) == "wave pass"
    assert _python(_OF_THE_PROCESS.format(provided=False)) == ""


def test_a_provider_that_is_none_is_refused_in_one_line() -> None:
    wrong: Any = "otlp"
    with pytest.raises(TypeError, match=r"^tracer_provider: expected a TracerProvider of OpenTelemetry, got 'otlp'$"):
        Engine(tracer_provider=wrong)
