"""Whether this process traces, found out without having anybody wait for OpenTelemetry who does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it is an extra
    from rpc.tracing import TracerProvider, Tracing


def find_tracing(provider: TracerProvider | None = None) -> Tracing | None:
    """Tracing by this provider, or else by the process's own; None where that has none that records.

    Who has set one has imported OpenTelemetry. Raises `TypeError` for a provider that is none.
    """
    if provider is None and "opentelemetry.trace" not in sys.modules:
        return None
    from rpc.tracing import tracing_by

    return tracing_by(provider)
