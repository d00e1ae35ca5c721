"""What an operation returns: it may be awaited, and need not be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Final

from engine.model.workflow import Workflow
from rpc.logs import get_logger

_log = get_logger(__name__)


class _Done:
    """What is asked of an engine counts at once; of a fleet, only once its shard has done it."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


DONE: Final[Awaitable[None]] = _Done()


class Promise:
    """Something that is being done: where nobody awaits it, what goes wrong with it is logged."""

    def __init__(self, doing: asyncio.Future[Any], workflow: Workflow, what: str) -> None:
        self._doing = doing
        self._workflow = workflow
        self._what = what
        self._awaited = False
        doing.add_done_callback(self._done)

    def __await__(self) -> Generator[Any, None, None]:
        self._awaited = True
        yield from asyncio.shield(self._doing).__await__()

    def _done(self, doing: asyncio.Future[Any]) -> None:
        error = None if doing.cancelled() else doing.exception()
        if error is not None and not self._awaited:
            _log.warning("operation refused", workflow=self._workflow.key, operation=self._what, reason=str(error))
