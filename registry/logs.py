"""Log lines as Argo writes them: ``level=info msg="loading plugin" name=hello-controller-plugin``.

Libraries configure nothing; programs call `configure_logs`.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Final, Literal

from rpc.logs import Event, logfmt

Level = Literal["debug", "info", "warning", "error"]

OURS: Final = ("rpc", "registry", "engine", "bench")

_ATTRIBUTES: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
"""What every record has; anything else is a field."""


class LogfmtFormatter(logging.Formatter):
    """A record as one line of logfmt, be it ours or of any other library; a traceback, too."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        if isinstance(record.msg, Event):
            text, fields = record.msg.text, record.msg.fields
        else:
            text = record.getMessage()
            fields = {name: value for name, value in record.__dict__.items() if name not in _ATTRIBUTES}
        shown = {"level": record.levelname.lower(), "msg": text, **fields}
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            shown["stack"] = record.stack_info
        return " ".join(logfmt(name, value) for name, value in shown.items())


class StandardError(logging.Handler):
    """Looked up for each line: a progress bar that redirects standard error is meant to be seen.

    Where nobody reads it any more, or its disk is full, lines are lost, and nothing else is.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            print(self.format(record), file=sys.stderr)


def configure_logs(level: Level = "info") -> None:
    """Write lines of `level` and above to standard error, in logfmt, from now on; of other libraries, only warnings."""
    handler = StandardError()
    handler.setFormatter(LogfmtFormatter())
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, StandardError)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
