"""``replay``: a recorded run as a plugin's regression test."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from engine.cli import target
from engine.cli.options import Assignment
from registry.cli import BadInput, FileName

DIFFERENT: Final = 1


@click.command()
@click.argument("record", type=FileName(), metavar="calls.jsonl")
@click.option("--plugin", "plugins", multiple=True, required=True, type=Assignment(), metavar="NAME=URL",
              help="Where to send what the plugin of that name was sent; may be given several times.")  # fmt: skip
@target.on_terms
@click.option("--junit", type=FileName(), metavar="FILE", help="Write the result as JUnit XML, too.")
def replay(record: Path, plugins: tuple[tuple[str, str], ...], junit: Path | None, terms: target.Terms) -> None:
    """Send recorded calls to another version of a plugin, and compare what it replies with what was recorded.

    calls.jsonl is what `--record` has written. Replies are compared by what they mean. Calls of which not all was kept,
    and those that were not answered, are left out, and counted.

    Exit code 0: all replies mean the same. 1: some do not. 2: bad input, or a plugin that is not there.

    \b
    Example:
      oarlock replay calls.jsonl --plugin hello=http://localhost:4355 --junit replay.xml
    """
    import asyncio

    from engine.cli.replaying import reporting, run
    from engine.recording.format import RecordError

    given: dict[str, str] = {}
    for name, address in plugins:
        if name in given:
            raise BadInput(f"--plugin {name}: expected one address, got {given[name]!r} and {address!r}")
        given[name] = address
    with reporting(junit) as report:
        try:
            asyncio.run(run(record, given, terms, report))
        except RecordError as error:
            raise BadInput(str(error)) from None
        report.write()
    report.show()
    if report.different:
        raise SystemExit(DIFFERENT)
