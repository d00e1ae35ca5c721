"""Servers to be called, of one's own making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.verifying.peers import Answer, serving

Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(answer)`` is the address of a server that answers so."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))
