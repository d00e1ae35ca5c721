"""What is asked of a soak, what came of it, and whether anything grew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rpc import Method
from tests.soak.gauges import Sample, Trend, trend
from tests.soak.ledger import Ledger, Promise

TRENDS: Final = 120.0
"""Seconds of storm from which on a trend says something; of a shorter one it is only shown."""
MORE: Final = {"tasks": 30.0, "descriptors": 15.0, "rss": 8.0 * 2**20}
"""By how much the trend of each figure may go up over a storm, however long it is."""
MORE_BLOCKS: Final = 0.05
"""By what share more memory may be given out at rest after the storm: memories of heads, replies and templates fill."""
VISITS: Final = (Method.WORKFLOW_PRE_OPERATE, Method.WORKFLOW_POST_OPERATE, Method.NODE_PRE_EXECUTE)
_PROMISES: Final = {"tasks": Promise.TASKS, "descriptors": Promise.DESCRIPTORS, "rss": Promise.MEMORY}


@dataclass(frozen=True, slots=True)
class Settings:
    """``seconds`` of storm; small workflows come at ``rate`` a second, one of ``leaves`` nodes every ``every``.

    ``faults`` is how often things go wrong, in multiples of what is usual here. With ``visits_only`` plugins know the
    workflow hooks and `node.preExecute` only, as in a large loop, for which the engine has ways of its own.
    """

    seconds: float
    seed: int
    faults: float = 1.0
    rate: float = 2.0
    leaves: int = 100
    every: float = 30.0
    visits_only: bool = False

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those that plugins know."""
        return VISITS if self.visits_only else tuple(Method)

    @property
    def lanes(self) -> tuple[str, ...]:
        """Those that plugins are called on."""
        return ("auto", "wire") if self.visits_only else ("aiohttp", "wire")


@dataclass(frozen=True, slots=True)
class AtRest:
    """What the process holds while no workflow is there and nothing happens."""

    sample: Sample
    blocks: int


@dataclass
class Report:
    """``done`` counts what was submitted and what was done to it, ``said`` what was logged, by message.

    ``rests`` are after the warm-up and after the storm, ``trends`` over the storm, by figure.
    """

    settings: Settings
    ledger: Ledger = field(default_factory=Ledger)
    done: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    rests: list[AtRest] = field(default_factory=list)
    trends: dict[str, Trend] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        return not self.ledger.broken

    def judge_growth(self, storm: Sequence[Sample]) -> None:
        """Draw the trends through the samples of the storm, and compare how it was at rest before and after it."""
        before, after = self.rests
        tasks = after.sample.tasks - before.sample.tasks
        self.ledger.expect(Promise.TASKS, tasks <= 0, f"{tasks} more tasks at rest")
        if self.settings.seconds >= TRENDS:
            files = after.sample.descriptors - before.sample.descriptors
            self.ledger.expect(Promise.DESCRIPTORS, files <= 0, f"{files} more file descriptors at rest")
        grown, most = after.blocks - before.blocks, MORE_BLOCKS * before.blocks
        self.ledger.expect(Promise.MEMORY, grown <= most, f"{grown:,} more blocks at rest, {most:,.0f} allowed")
        seconds = storm[-1].seconds - storm[0].seconds
        for name, allowed in MORE.items():
            found = self.trends[name] = trend([(each.seconds, float(getattr(each, name))) for each in storm])
            if seconds >= TRENDS:
                grew = f"{name} grew by {found.growth:,.0f}, {allowed:,.0f} allowed"
                self.ledger.expect(_PROMISES[name], found.growth <= allowed, grew)
