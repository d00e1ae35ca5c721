"""Log lines as Argo writes them: ``level=info msg="loading plugin" name=hello-controller-plugin``.

Libraries here only call `structlog.get_logger`; programs call `configure_logs` once.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from registry.terminal import printable

Level = Literal["debug", "info", "warning", "error"]


class _StandardError(logging.Handler):
    """Looked up for each line: a progress bar that redirects standard error is meant to be seen."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What plugins and manifests say does nothing to a terminal; newlines are logfmt's affair."""
    return {
        key: value if isinstance(value, int | float | None) else "\n".join(map(printable, str(value).split("\n")))
        for key, value in event.items()
    }


def configure_logs(level: Level = "info") -> None:
    """Write lines of `level` and above to standard error, in logfmt, from now on; of other libraries, only warnings."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    render = structlog.processors.LogfmtRenderer(key_order=["level", "msg"], bool_as_flag=False)
    structlog.configure(
        processors=[*shared, _printable, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # `rpc` and the libraries know nothing of structlog.
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _printable, render],
        )
    )
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, _StandardError)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("rpc").setLevel(level.upper())
