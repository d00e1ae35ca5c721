"""The parts of a call on their own: what bytes cost before they are sent and after they come back."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import orjson

from bench.record import Micro
from engine import Node
from engine.model.node import encode
from rpc.methods import Method
from rpc.replies import decode

_REPEATS = 10
_NUMBER = 2_000


def codec() -> list[Micro]:
    """Microseconds of each part, the best of some repetitions: what disturbs a measurement only ever adds to it."""
    node = Node(
        id="fan-out-3162152459",
        name="fan-out[0].work(499:499)",
        display_name="work(499:499)",
        type="Pod",
        template_name="work",
        template_scope="local/fan-out",
        phase="Running",
        boundary_id="fan-out",
        started_at="2000-01-01T00:00:00Z",
    )
    metadata = {"metadata": {"name": "fan-out", "namespace": "default", "labels": {"one": "1", "two": "2"}}}
    template = {"name": "work", "container": {"image": "busybox", "command": ["true"]}}
    head = b"".join((b'{"workflow":', orjson.dumps(metadata), b',"template":', orjson.dumps(template)))
    encoded = encode(node)
    whole: dict[str, Any] = {"workflow": metadata, "template": template, "node": orjson.loads(encoded)}
    patch = b'{"node":{"message":"seen by plugin-1","progress":"1/2"}}'
    return [
        _timed("encode a node", "msgspec; once for its whole chain", lambda: encode(node)),
        _timed("splice the arguments", "two parts, one join", lambda: b"".join((head, b',"node":', encoded, b"}"))),
        _timed("encode the arguments whole", "orjson; what splicing saves", lambda: orjson.dumps(whole)),
        _timed("decode an empty reply", "", lambda: decode(Method.NODE_PRE_EXECUTE, b"{}")),
        _timed("decode a node's patch", "checked and typed", lambda: decode(Method.NODE_PRE_EXECUTE, patch)),
        _timed("parse a node's patch", "orjson; what checking adds to", lambda: orjson.loads(patch)),
    ]


def _timed(name: str, about: str, part: Callable[[], object]) -> Micro:
    seconds = timeit.repeat(part, number=_NUMBER, repeat=_REPEATS)
    return Micro(name=name, about=about, us=min(seconds) / _NUMBER * 1e6)
