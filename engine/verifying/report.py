"""What came of verifying a plugin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from engine.verifying.findings import Finding, Severity
from rpc import Method
from rpc.methods import Spelling


@dataclass(frozen=True)
class Checked:
    """One thing that was tried of one method, or of the plugin as a whole. ``skipped`` says why it was not."""

    name: str
    method: Method | None
    findings: Sequence[Finding] = ()
    skipped: str = ""

    def of(self, severity: Severity) -> list[Finding]:
        """The findings that are so bad."""
        return [finding for finding in self.findings if finding.kind.severity == severity]


@dataclass
class Had:
    """A method that the plugin has. ``seconds`` are those of its small calls, ``batches`` whether it takes batches."""

    method: Method
    spelling: Spelling
    path: str
    seconds: list[float] = field(default_factory=list)
    batches: bool = False

    @property
    def typical(self) -> float | None:
        """Seconds of a call: their median; None where none was answered."""
        return median(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class Report:
    """``requests`` is how many were sent."""

    address: str
    methods: Sequence[Had]
    checks: Sequence[Checked]
    requests: int

    @property
    def passed(self) -> bool:
        """Whether there are no faults."""
        return not any(checked.of("fault") for checked in self.checks)

    def told(self) -> list[Finding]:
        """All findings but those that say of a method what another check of it has said, or of all what one did."""
        told: dict[object, Finding] = {}
        for checked in self.checks:
            for finding in checked.findings:
                if (finding.name, finding.what) not in told and (finding.name, checked.method) not in told:
                    told[finding.name, finding.what] = told[finding.name, checked.method] = finding
        return list(dict.fromkeys(told.values()))

    def of(self, method: Method | None) -> Iterable[Checked]:
        """What was tried of a method, or of the plugin as a whole."""
        return (checked for checked in self.checks if checked.method == method)
