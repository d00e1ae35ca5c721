"""What there is to see of a fleet's shards: it comes by mail where somebody wants it, and is as of one engine.

An observer is told of passes and requests, a recorder has one file, and what shards log is logged by the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from engine.cluster.mail import (
    CallTold,
    Logged,
    PassBegun,
    PassOver,
    PassTold,
    Recorded,
    Requested,
    Seen,
)
from engine.reconciling.observing import Observer, PassEnd
from engine.recording import recorder
from engine.recording.appending import Lines
from engine.recording.recorder import MAX_BODY, Recorder, Told
from rpc import Method, Request
from rpc.logs import Event, get_logger
from rpc.methods import BATCHES, Route

Put = Callable[[Seen], None]

_ROUTES: Final[dict[str, Route]] = {str(route): route for route in (*Method, *BATCHES.values())}
_ATTRIBUTES: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
LOGGERS: Final = ("engine", "registry", "rpc")


def level() -> int:
    """From which level on anything of ours is logged in this process."""
    return min(logging.getLogger(name).getEffectiveLevel() for name in LOGGERS)


# In a shard


class Observed:
    """An observer that mails what it is told."""

    def __init__(self, put: Put) -> None:
        self._put = put

    def requested(self, request: Request) -> None:
        """A request is over."""
        self._put(Requested((request.plugin, str(request.method), *request[2:])))

    def pass_begun(self, workflow: str) -> None:
        """A pass begins."""
        self._put(PassBegun(workflow))

    def pass_ended(self, ended: PassEnd) -> None:
        """It is over."""
        self._put(PassOver(ended))


class Mailed(Recorder):
    """A recorder that mails its lines, and what it tells. Passes of `shards` shards have numbers of their own."""

    def __init__(self, put: Put, shard: int, shards: int, max_body: int | None) -> None:
        super().__init__(max_body=max_body or MAX_BODY)
        self._put = put
        self._shard, self._shards = shard, shards
        self._writes = max_body is not None
        self.listeners.append(self._tell)

    def _opened(self) -> Lines | None:
        return Lines(lambda lines: self._put(Recorded(b"".join(lines)))) if self._writes else None

    def number_of(self, number: int) -> int:
        return number * self._shards + self._shard

    def _tell(self, told: Told | recorder.PassTold) -> None:
        self._put(CallTold(told) if isinstance(told, Told) else PassTold(told))


class Logging(logging.Handler):
    """Mails what is logged, from any thread: `soon` calls something in that of the event loop."""

    def __init__(self, put: Put, soon: Callable[[Callable[[], None]], object]) -> None:
        super().__init__()
        self._mail = put
        self._soon = soon

    def emit(self, record: logging.LogRecord) -> None:
        """Mail a record, which is a text by then."""
        if isinstance(record.msg, Event):
            text, fields = record.msg.text, record.msg.fields
        else:
            text = record.getMessage()
            fields = {name: value for name, value in record.__dict__.items() if name not in _ATTRIBUTES}
        exception = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        said = {name: str(value) for name, value in fields.items()}
        logged = Logged(record.name, record.levelno, text, said, exception)
        with suppress(RuntimeError):  # the event loop is closed
            self._soon(lambda: self._mail(logged))

    @contextmanager
    def attached(self, level: int) -> Iterator[None]:
        """It is told of all of ours from that level on."""
        loggers = [logging.getLogger(name) for name in LOGGERS]
        for logger in loggers:
            logger.setLevel(level)
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(self)


# In the driver


class Watchers:
    """Who wants to see something of the shards."""

    def __init__(self, observer: Observer | None, recorder: Recorder | None) -> None:
        self.observer = observer
        self.recorder = recorder

    def see(self, what: Seen, shard: int) -> None:
        """Tell who wants to know."""
        observer, recorder = self.observer, self.recorder
        match what:
            case Requested() if observer is not None:
                observer.requested(Request._make(what.values)._replace(method=_ROUTES[what.values[1]]))
            case PassBegun() if observer is not None:
                observer.pass_begun(what.workflow)
            case PassOver() if observer is not None:
                observer.pass_ended(what.ended)
            case Recorded() if recorder is not None and recorder.written is not None:
                recorder.written.add(what.lines)
                recorder.written.flush()
            case CallTold() | PassTold() if recorder is not None:
                for listener in recorder.listeners:
                    listener(what.told)
            case Logged():
                _log_again(what, shard)


def _log_again(what: Logged, shard: int) -> None:
    told = {"traceback": what.exception} if what.exception else {}
    get_logger(what.name).log(what.level, what.text, extra={**what.fields, "shard": shard, **told})
