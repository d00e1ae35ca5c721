"""What `oarlock verify` does, and how it tells of what it found: a table, JSON, JUnit's XML."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
from rich import box
from rich.table import Table
from rich.text import Text

from engine.cli.target import connect_once
from engine.verifying.report import Checked, Had, Report
from engine.verifying.verification import verify
from registry import PluginConfig
from registry.cli import BadInput
from registry.terminal import print_whole_words, printable
from rpc.address import parse_address


def verify_plugin(plugin: PluginConfig, *, as_json: bool, junit: Path | None) -> bool:
    """Verify it and tell; whether it has no faults. Raises `BadInput`."""
    report = asyncio.run(_verify(plugin))
    if junit is not None:
        try:
            junit.write_bytes(_junit(report))
        except OSError as error:
            raise BadInput(f"--junit: {junit}: {error.strerror}") from None
    if as_json:
        click.echo(json.dumps(_document(report), indent=2))
    else:
        _show(report)
    return report.passed


async def _verify(plugin: PluginConfig) -> Report:
    await connect_once("URL", plugin)
    address = parse_address(plugin.address)
    return await verify(address, token=plugin.token, tls=plugin.tls, timeout=plugin.timeout, max_body=plugin.max_body)


def _show(report: Report) -> None:
    if report.methods:
        print_whole_words(_table(report))
    told = report.told()
    for finding in told:
        kind = finding.kind
        click.echo(printable(f"{kind.severity}: {finding.name} at {finding.where}"))
        for line in (finding.what, f"Why: {kind.why}", f"Do: {kind.change}"):
            click.echo(printable(f"  {line}"))
        click.echo()
    faults, warnings = (sum(each.kind.severity == severity for each in told) for severity in ("fault", "warning"))
    tried = sum(not checked.skipped for checked in report.checks)
    found = f"{_counted(faults, 'fault')}, {_counted(warnings, 'warning')}"
    click.echo(printable(f"{report.address}: {found}; {tried} things tried with {report.requests} requests"))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE)
    for column in ("method", "path", "batches"):
        table.add_column(column, no_wrap=True)
    table.add_column("call", no_wrap=True, justify="right")
    table.add_column("result")
    for had in report.methods:
        call = "" if had.typical is None else f"{had.typical * 1000:.1f} ms"
        table.add_row(had.method, had.path, "yes" if had.batches else "no", call, _result(report, had))
    return table


def _result(report: Report, had: Had) -> Text:
    findings = [finding for checked in report.of(had.method) for finding in checked.findings]
    for severity, style in (("fault", "red"), ("warning", "yellow")):
        names = dict.fromkeys(finding.name for finding in findings if finding.kind.severity == severity)
        if names:
            return Text(", ".join(names), style=style)
    return Text("good", style="green")


def _document(report: Report) -> dict[str, Any]:
    return {
        "address": report.address,
        "passed": report.passed,
        "requests": report.requests,
        "methods": [
            {
                "method": had.method,
                "spelling": had.spelling,
                "path": had.path,
                "batches": had.batches,
                "seconds": had.typical,
            }
            for had in report.methods
        ],
        "checks": [
            {"check": checked.name, "method": checked.method, "result": _verdict(checked)} for checked in report.checks
        ],
        "findings": [
            {
                "name": finding.name,
                "severity": finding.kind.severity,
                "check": checked.name,
                "method": checked.method,
                "path": finding.where,
                "what": finding.what,
                "why": finding.kind.why,
                "change": finding.kind.change,
            }
            for checked in report.checks
            for finding in checked.findings
        ],
    }


def _verdict(checked: Checked) -> str:
    if checked.skipped:
        return "skipped"
    return next((severity for severity in ("fault", "warning") if checked.of(severity)), "good")


def _junit(report: Report) -> bytes:
    """A suite with a case for each thing that was tried, whose class is the method."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"oarlock verify {report.address}",
        tests=str(len(report.checks)),
        failures=str(sum(bool(checked.of("fault")) for checked in report.checks)),
        errors="0",
        skipped=str(sum(bool(checked.skipped) for checked in report.checks)),
    )
    for checked in report.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=checked.method or "plugin", name=checked.name)
        if checked.skipped:
            ElementTree.SubElement(case, "skipped", message=checked.skipped)
        for finding in checked.of("fault"):
            failure = ElementTree.SubElement(case, "failure", type=finding.name, message=printable(finding.what))
            failure.text = printable(f"{finding.where}: {finding.kind.why} {finding.kind.change}")
        if warnings := checked.of("warning"):
            lines = [f"{each.name} at {each.where}: {each.what}. {each.kind.change}" for each in warnings]
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(printable, lines))
    written: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return written
