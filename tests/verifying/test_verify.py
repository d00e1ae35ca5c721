"""``oarlock verify`` finds what is wrong with a plugin, by its name, and nothing where nothing is."""

from __future__ import annotations

import pytest

from engine.verifying.findings import KINDS
from engine.verifying.report import Report
from engine.verifying.verification import verify
from rpc.address import parse_address
from tests.undisturbed import undisturbed
from tests.verifying.mutants import ADD, MUTANTS, PRE, Mutant, add, each, plugin, seen
from tests.verifying.peers import serving


async def report_on(address: str, timeout: float = 30.0) -> Report:
    return await verify(parse_address(address), token=None, timeout=timeout, max_body=4 << 20)


async def test_nothing_is_found_of_a_healthy_plugin() -> None:
    with serving(plugin({PRE: seen, f"{PRE}.batch": each(seen), ADD: add, f"{ADD}.batch": each(add)})) as address:
        report = await report_on(address)
    assert report.passed
    assert report.told() == []
    assert [(had.method, had.batches) for had in report.methods] == [
        ("node.preExecute", True),
        ("parameters.add", True),
    ]
    assert not any(checked.skipped for checked in report.checks)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
@undisturbed
async def test_what_is_broken_is_found_by_its_name(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant.finding == "slow":
        monkeypatch.setattr("engine.verifying.checks.SLOW", 0.01)
    with serving(mutant.make(), mutant.read, mutant.at_once) as address:
        # Half a second is long for those that do not answer; where all is answered a busy machine may need longer.
        report = await report_on(address, 5.0 if KINDS[mutant.finding].severity == "warning" else 0.5)
    names = [finding.name for finding in report.told()]
    assert mutant.finding in names
    assert report.passed == (KINDS[mutant.finding].severity == "warning"), names
    assert len(names) <= 2, names


def test_there_is_a_mutant_for_everything_that_can_be_found() -> None:
    assert {mutant.finding for mutant in MUTANTS} == KINDS.keys()
