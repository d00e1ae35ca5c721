"""What those who make spans know of them. OpenTelemetry is behind it, in `rpc.tracing`, for who traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Final, NamedTuple, Protocol

Attributes = Mapping[str, str | int | float]


class Subject(NamedTuple):
    """The node that a call is about: the uid of its workflow, its id and its name."""

    workflow: str
    id: str
    name: str


RESENT: Final = ContextVar("resent", default=0)
"""How often what is being sent was sent before."""

About = Callable[[], Iterable[Subject]]
"""Which nodes a request is about, as far as that is known."""


class Span(Protocol):
    """Something that goes on now."""

    def tell(self, attributes: Attributes) -> None:
        """Say more of it."""
        ...

    def fail(self, why: str, kind: str) -> None:
        """It went wrong: why, for people, and one of few kinds."""
        ...


Spans = Callable[[str, Attributes], AbstractContextManager[Span]]
"""Makes a span of what goes on within a ``with``."""


class _Unseen:
    def tell(self, attributes: Attributes) -> None:
        """Nobody looks."""

    def fail(self, why: str, kind: str) -> None:
        """Nobody looks."""


_UNSEEN: Final = nullcontext[Span](_Unseen())


def no_spans(name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """The `Spans` of who does not trace."""
    return _UNSEEN
