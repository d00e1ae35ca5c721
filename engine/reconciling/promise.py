"""What an operation returns: it may be awaited, and need not be."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Final


class _Done:
    """What is asked of an engine counts at once; of a fleet, only once its shard has done it."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


DONE: Final[Awaitable[None]] = _Done()
