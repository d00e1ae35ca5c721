"""Log lines as Argo writes them: ``level=info msg="loading plugin" name=hello-controller-plugin``.

Libraries here only call `structlog.get_logger`; programs call `configure_logs` once.
"""

from __future__ import annotations

import sys
from typing import Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]


def configure_logs(level: Level = "info") -> None:
    """Write lines of `level` and above to standard error, in logfmt, from now on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("msg"),
            structlog.processors.LogfmtRenderer(key_order=["level", "msg"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up for each line: a progress bar that redirects standard error is meant to be seen.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
