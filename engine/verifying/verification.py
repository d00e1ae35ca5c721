"""Verifying one plugin: which methods it has, and everything that is tried of each."""

from __future__ import annotations

from itertools import count
from typing import Final

import orjson

from engine.verifying.batches import check_batches
from engine.verifying.checks import CHECKS, Asking, Check
from engine.verifying.effects import Arguments
from engine.verifying.exchanges import Answer, Exchanges, Failed, NobodyHome
from engine.verifying.findings import Finding
from engine.verifying.judging import UNAUTHORIZED, Problem
from engine.verifying.report import Checked, Had, Report
from rpc import Method
from rpc.address import Address
from rpc.examples import example_of
from rpc.methods import SPELLINGS, path
from rpc.tls import Tls

_NOWHERE: Final = ("/oarlock.verify", "/api/v1/oarlock.verify")
"""Paths that nobody has."""


async def verify(
    address: Address, *, token: str | None, timeout: float, max_body: int, tls: Tls | None = None
) -> Report:
    """Try everything that the protocol asks of a plugin. It is called with made-up workflows and nodes.

    ``timeout``: seconds that a reply may take; ``max_body``: bytes that it may have.
    """
    exchanges = Exchanges(address, token=token, timeout=timeout, max_body=max_body, tls=tls)
    return await _Verification(exchanges, address).run()


class _Verification:
    def __init__(self, exchanges: Exchanges, address: Address) -> None:
        self._exchanges = exchanges
        self._address = address
        self._checks: list[Checked] = []
        self._methods: list[Had] = []
        self._numbers = count(1)
        self._elsewhere: int | None = None
        """The status of a path that nobody has, where that is an error other than 404."""

    async def run(self) -> Report:
        elsewhere = await self._look_elsewhere(_NOWHERE)
        for method in Method:
            if await self._is_there():
                await self._find(method)
        for had in self._methods:
            elsewhere += await self._look_elsewhere([f"{had.path}X"])
        self._checks.insert(0, Checked("unknown-path", None, elsewhere[:1]))
        if not self._methods and self._elsewhere not in UNAUTHORIZED:
            self._note_no_method()
        return Report(str(self._address), self._methods, self._checks, self._exchanges.count)

    async def _look_elsewhere(self, paths: tuple[str, ...] | list[str]) -> list[Finding]:
        found = []
        for each in paths:
            try:
                answer = await self._exchanges.ask(each, orjson.dumps(example_of(Method.NODE_PRE_EXECUTE).arguments))
            except Failed as failed:
                found.append(Finding(failed.kind, each, failed.what))
                continue
            if answer.status != 404:
                name = "token" if answer.status in UNAUTHORIZED else "unknown-path"
                found.append(Finding(name, each, f"status {answer.status}, where 404 was expected"))
                if answer.status not in (200, 204):
                    self._elsewhere = answer.status
        return found

    async def _find(self, method: Method) -> None:
        """Ask in each spelling, as the engine does, the one first that the plugin is known to speak."""
        first = [had.spelling for had in self._methods[:1]]
        for spelling in (*first, *(each for each in SPELLINGS if each not in first)):
            asking = Asking(self._exchanges, Had(method, spelling, path(method, spelling)), self._numbers)
            arguments = asking.sample()
            answer: Answer | Failed
            try:
                answer = await self._exchanges.ask(asking.had.path, orjson.dumps(arguments))
            except Failed as failed:
                answer = failed
            if isinstance(answer, Failed) or answer.status not in (404, self._elsewhere):
                await self._try(asking, arguments, answer)
                return

    async def _try(self, asking: Asking, arguments: Arguments, answer: Answer | Failed) -> None:
        """Everything about a method that the plugin has, and of which this is the first answer.

        Nothing more where it does not even answer the example.
        """
        method = asking.had.method
        self._methods.append(asking.had)

        async def example(asking: Asking) -> list[Problem]:
            if isinstance(answer, Failed):
                raise answer
            asking.take(arguments, answer)
            await asking.ask(example_of(method).arguments)
            return []

        checks: dict[str, Check] = {"example": example, **CHECKS}
        if method.batched:
            checks["batch"] = check_batches
        skipped = ""
        for name, check in checks.items():
            if skipped:
                self._checks.append(Checked(name, method, skipped=skipped))
                continue
            findings = await self._findings(asking, check)
            self._checks.append(Checked(name, method, findings))
            if any(finding.kind.severity == "fault" for finding in findings):
                if not await self._is_there():
                    skipped = "nobody answers any more"
                elif name == "example":
                    skipped = "the example is not answered"

    async def _is_there(self) -> bool:
        try:
            async with self._exchanges.connected():
                return True
        except NobodyHome:
            return False

    async def _findings(self, asking: Asking, check: Check) -> list[Finding]:
        asking.problems.clear()
        try:
            problems = await check(asking)
        except Failed as failed:
            problems = [Problem(failed.kind, failed.what)]
        problems += asking.problems
        return [Finding(problem.name, asking.had.path, problem.what) for problem in dict.fromkeys(problems)]

    def _note_no_method(self) -> None:
        status = 404 if self._elsewhere is None else self._elsewhere
        what = f"status {status} to every method, in every spelling"
        self._checks.append(Checked("methods", None, [Finding("no-method", "/", what)]))
