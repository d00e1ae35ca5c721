"""What is promised, how often it was put to the test, and what broke it."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final

SHOWN: Final = 5
"""How many of the cases that broke a promise are kept, of each."""


class Promise(StrEnum):
    ENDS = "every workflow ends, once the faults have"
    OUTCOME = "it ends as it would have without them"
    STARTED_ONCE = "no leaf is started twice"
    NOTHING_LOST = "no leaf and no report is lost"
    UNTOUCHED = "an aborted pass leaves the workflow as it was, to the byte"
    APPLIED_ONCE = "a committed pass applies what plugins say once"
    ALONE = "passes over one workflow never overlap"
    IN_FORCE = "a valid configuration comes into force"
    REJECTED = "a bad configuration changes nothing"
    LET_GO = "a plugin that was removed leaves no client and no connection"
    BUDGET = "retries are at most 0.2 x calls + 10/s"
    HANDLED = "nothing is left unhandled, warned of or logged as an error"
    DESCRIPTORS = "file descriptors do not grow"
    TASKS = "tasks do not grow"
    MEMORY = "memory does not grow"
    CLOSED = "a closed engine leaves no task and no file descriptor"


class Ledger:
    """Counts of promises kept, and the cases in which one was not."""

    def __init__(self) -> None:
        self.tested: Counter[Promise] = Counter()
        self.broken: Counter[Promise] = Counter()
        self.cases: dict[Promise, list[str]] = {promise: [] for promise in Promise}

    def expect(self, promise: Promise, kept: bool, case: str) -> None:
        """Put `promise` to the test; `case` says what broke it, if something did."""
        self.tested[promise] += 1
        if not kept:
            self.broken[promise] += 1
            if len(self.cases[promise]) < SHOWN:
                self.cases[promise].append(case)
