"""Asking a plugin on behalf of one workflow: whose failures matter, and what need not be asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.model.pace import Pace
from engine.model.statistics import Counts
from engine.plugins.arguments import digest
from engine.plugins.memory import Memory
from engine.plugins.patience import Patience
from rpc import FatalError, Method, PluginError, TransientError
from rpc.batches import Call, CallBatch
from rpc.replies import EMPTY, Reply
from rpc.spans import Subject

if TYPE_CHECKING:
    from registry import Plugin
    from rpc.window import Outcomes


def may_fail(plugin: Plugin) -> bool:
    """Whether the plugin's failures are passed over: it is to be ignored then, or its replies never count anyway."""
    return plugin.config.failure_policy == "ignore" or plugin.config.mode == "observe"


class Caller:
    """Asks plugins on behalf of one workflow: passes over the failures of those that may fail, remembers answers."""

    def __init__(self, memory: Memory, counts: Counts, pace: Pace | None = None) -> None:
        self.memory = memory
        self.counts = counts
        self.pace = pace or Pace()
        self.patience = Patience()
        """That of the pass under way."""

    def passes_over(self, plugin: Plugin) -> bool:
        """Whether a failure of this plugin does not matter, which is then counted."""
        if may_fail(plugin):
            self.counts.failures_passed_over += 1
            return True
        return False

    async def ask(self, plugin: Plugin, method: Method, subject: Subject | None, call: Call) -> Reply:
        """The plugin's reply if it is to count, else `EMPTY`. Raises `TransientError` and `FatalError`.

        `subject` is the node, None where the question is about the workflow.
        """
        about = "" if subject is None else subject.id
        key = digest(about, call)
        answer = self.memory.find(plugin, method, about, key)
        try:
            if answer is None:
                self.patience.ask(plugin.name)
                outcomes: Outcomes = [None]
                batch = CallBatch(b"", (call,), None if subject is None else lambda place: subject)
                await plugin.client.ask(method, batch, outcomes)
                outcome = outcomes[0] or EMPTY
                if isinstance(outcome, TransientError):
                    raise outcome
                answer = outcome
                self.memory.keep(plugin, method, about, key, answer)
            if isinstance(answer, FatalError):
                raise answer
        except PluginError:
            if not self.passes_over(plugin):
                raise
            return EMPTY
        return EMPTY if plugin.config.mode == "observe" else answer
