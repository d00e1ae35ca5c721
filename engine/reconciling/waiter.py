"""Somebody for whom passes are made, by an engine or by a fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic

from engine.reconciling.roll import R


class Waiter(Generic[R]):
    """Until those that are ``left`` are over, or all there are (None), or for as long as there may be any (`stays`);
    and until ``limit``. ``none_left`` is called once none is left of those."""

    def __init__(
        self,
        left: set[R] | None,
        limit: float | None,
        none_left: Callable[[Waiter[R]], None],
        *,
        stays: bool = False,
    ) -> None:
        self.left = left
        self.limit = limit
        self.stays = stays
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._none_left = none_left

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Hear of those that are left when they are over."""
        for run in self.left or ():
            run.waiting[self] = partial(self._one_less, run)
        try:
            yield
        finally:
            for run in self.left or ():
                run.waiting.pop(self, None)

    def _one_less(self, run: R) -> None:
        assert self.left is not None
        self.left.discard(run)
        if not self.left:
            self._none_left(self)

    def let_go(self, error: BaseException | None = None) -> None:
        """Have it go on, or hear of an error; what it was told first counts."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
