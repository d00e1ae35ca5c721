"""What is asked of a soak, what came of it, and whether anything grew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rpc import Method
from tests.soak.gauges import Held, Sample, Trend, trend
from tests.soak.ledger import Ledger, Promise

IDLES: Final = 30.0
"""Seconds of storm from which on it is waited, after it, until connections are closed that nobody uses."""
TRENDS: Final = 120.0
"""Seconds of storm from which on a trend says something; of a shorter one it is only shown."""
MORE: Final = {"tasks": 30.0, "descriptors": 15.0}
"""By how much the trend of each figure may go up over a storm, however long it is."""
MORE_BLOCKS: Final = 0.05
"""By what share more blocks may be given out at rest after the storm: each client keeps heads of requests by length."""
MORE_OBJECTS: Final = 250
"""How many more objects of our types there may be: clients have more or fewer, by lane and by what became of calls."""
MORE_RSS: Final = 8 * 2**20
"""How many more bytes may be resident."""
SHOWN: Final = ("rss", "descriptors", "tasks")
"""Figures of which the trend is shown."""
HELD_BACK: Final = "held back, since too many were under way"
VISITS: Final = (Method.WORKFLOW_PRE_OPERATE, Method.WORKFLOW_POST_OPERATE, Method.NODE_PRE_EXECUTE)
_PROMISES: Final = {"tasks": Promise.TASKS, "descriptors": Promise.DESCRIPTORS}


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
    held: Held


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
        self._judge_rests(before, after)
        seconds = storm[-1].seconds - storm[0].seconds
        for name in SHOWN:
            self.trends[name] = trend([(each.seconds, float(getattr(each, name))) for each in storm])
        # Where workflows have piled up the machine is too slow for them, and more is under way late than early.
        if seconds >= TRENDS and not self.done[HELD_BACK]:
            for name, allowed in MORE.items():
                found = self.trends[name]
                grew = f"{name} grew by {found.growth:,.0f}, {allowed:,.0f} allowed"
                self.ledger.expect(_PROMISES[name], found.growth <= allowed, grew)

    def _judge_rests(self, before: AtRest, after: AtRest) -> None:
        expect = self.ledger.expect
        tasks = after.sample.tasks - before.sample.tasks
        expect(Promise.TASKS, tasks <= 0, f"{tasks} more tasks at rest")
        if self.settings.seconds >= IDLES:
            files = after.sample.descriptors - before.sample.descriptors
            expect(Promise.DESCRIPTORS, files <= 0, f"{files} more file descriptors at rest")
        held = before.held
        for what, grown, most in (
            ("blocks", after.held.blocks - held.blocks, MORE_BLOCKS * held.blocks),
            ("bytes", after.held.rss - held.rss, MORE_RSS),
        ):
            expect(Promise.MEMORY, grown <= most, f"{grown:,} more {what} at rest, {most:,.0f} allowed")
        more = after.held.objects - held.objects
        which = ", ".join(f"{count} {kind.__qualname__}" for kind, count in more.most_common(5))
        few = more.total() <= MORE_OBJECTS
        expect(Promise.MEMORY, few, f"{more.total():,} more objects of ours at rest, {MORE_OBJECTS} allowed: {which}")
