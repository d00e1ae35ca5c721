"""The protocol's status table: what a complete HTTP reply means for the call."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rpc.errors import FatalError, PluginError, TransientError
from rpc.stats import Outcome

if TYPE_CHECKING:  # who logs a line needs no lane
    from rpc.lanes import Response

PATIENCE: Final = frozenset({429, 502, 503, 504})
"""The plugin, or a proxy before it, cannot answer now."""

EXCERPT: Final = 256
"""Bytes of a refused reply's body that its error shows."""

LONGEST: Final = 2000
"""Characters of a line that tells what is wrong."""

MAX_RETRY_AFTER: Final = 3600.0
"""Seconds; a Retry-After that asks for more counts as this much. An engine makes the next pass sooner, after five
minutes at most (`engine.plugins.LONGEST_WAIT`)."""


def refusal(plugin: str, method: str, response: Response) -> PluginError:
    """The error for a status that is neither a reply (200, 204) nor 404."""
    status = response.status
    reason = f"status {status}{excerpt(response.body)}"
    if status in PATIENCE:
        retry_after = parse_retry_after(response.retry_after)
        return TransientError(plugin, method, reason, outcome=Outcome.BUSY, status=status, retry_after=retry_after)
    return FatalError(plugin, method, reason, outcome=Outcome.BAD_STATUS, status=status)


def illegal(plugin: str, method: str, response: Response, why: Exception) -> FatalError:
    """The error for a 200 whose body is not a reply of this protocol."""
    return FatalError(plugin, method, f"illegal reply: {why}{excerpt(response.body)}", status=response.status)


def excerpt(body: bytes) -> str:
    """The first bytes of a body on one line, ready to be appended to a reason."""
    if not body:
        return ", empty body"
    text = body[:EXCERPT].decode("utf-8", "backslashreplace")
    return f", body: {in_one_line(text)}{'...' if len(body) > EXCERPT else ''}"


def in_one_line(text: str) -> str:
    """The text with all that a terminal would not simply show, line ends among it, written as in Python.

    What is longer than `LONGEST` is cut: it quotes something that nobody would read.
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, whole seconds or an HTTP date (RFC 9110, 10.2.3); None where it is neither.

    At most `MAX_RETRY_AFTER`.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), MAX_RETRY_AFTER)
    from email.utils import parsedate_to_datetime  # which is slow to import, and hardly ever wanted

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a number in it may be too large for any clock
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(0.0, (date - datetime.now(UTC)).total_seconds()), MAX_RETRY_AFTER)
