"""Two ways for a call to fail, and whose fault it was: try again later, or stop.

Nothing of aiohttp, httptools or the socket layer leaks past these; the cause is chained.
"""

from __future__ import annotations

from typing import Final

from rpc.stats import Outcome

MOST_REASON: Final = 2000
"""Characters of a reason: what it shows of a reply may be as long as the reply."""


class PluginError(Exception):
    """A call to a plugin failed. Never raised itself: it is always one of the two below.

    Attributes: ``plugin`` its configured name, ``method`` the canonical method name, ``reason`` what went wrong
    without those two, ``outcome`` the same as statistics count it, ``status`` the HTTP status where one was received,
    else None.
    """

    def __init__(
        self, plugin: str, method: str, reason: str, *, outcome: Outcome = Outcome.ILLEGAL, status: int | None = None
    ) -> None:
        if len(reason) > MOST_REASON:
            reason = f"{reason[:MOST_REASON]}..."
        super().__init__(plugin, method, reason)
        self.plugin = plugin
        self.method = method
        self.reason = reason
        self.outcome = outcome
        self.status = status

    def __str__(self) -> str:
        return f"plugin {self.plugin!r}, {self.method}: {self.reason}"


class TransientError(PluginError):
    """The transport died before a complete reply, or the plugin asked for patience: worth another try.

    ``retry_after`` is the plugin's own wish in seconds (RFC 9110, 10.2.3), None where it expressed none.
    """

    def __init__(
        self,
        plugin: str,
        method: str,
        reason: str,
        *,
        outcome: Outcome = Outcome.BROKEN,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(plugin, method, reason, outcome=outcome, status=status)
        self.retry_after = retry_after

    def again(self) -> TransientError:
        """The same for another call, which waited for what came of the first."""
        return type(self)(
            self.plugin,
            self.method,
            self.reason,
            outcome=self.outcome,
            status=self.status,
            retry_after=self.retry_after,
        )


class NotSent(TransientError):
    """Nothing is sent (any more): the breaker is open, the deadline has passed, or the client was closed."""


class FatalError(PluginError):
    """The bytes are complete but wrong: the same request would fail again, so it is never retried."""

    def again(self) -> FatalError:
        """The same for another who asks the same."""
        return type(self)(self.plugin, self.method, self.reason, status=self.status)
