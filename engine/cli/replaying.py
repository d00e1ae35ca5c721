"""What `oarlock replay` does, and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Final
from xml.sax.saxutils import escape, quoteattr

import click
from msgspec.structs import replace
from rich import box
from rich.table import Table
from rich.text import Text

from engine.cli.target import Terms, connect_once, plugin_at
from engine.cli.values import shown_apart
from engine.recording.reading import Record
from engine.recording.replaying import Compared, Replay
from registry.cli import BadInput
from registry.config import RetrySettings
from registry.connecting import connect
from registry.terminal import console, printable, tell
from rpc import Client

MOST_ROWS: Final = 100
"""Differences that are shown; the rest are counted."""
_MOST: Final = 120
"""Characters of a value that are shown."""


async def run(record: Path, plugins: dict[str, str], terms: Terms, report: Report) -> None:
    """Replay a record to the plugins at these addresses. Raises `BadInput` and `RecordError`."""
    async with AsyncExitStack() as stack:
        opened = stack.enter_context(Record(record, tell))
        clients: dict[str, Client] = {}
        for name, address in plugins.items():
            option = f"--plugin {name}"
            config = replace(plugin_at(option, address, terms, name), retry=RetrySettings())
            await connect_once(option, config)
            clients[name] = await stack.enter_async_context(connect(config))
        replaying = Replay(opened, clients)
        async for compared in replaying.run():
            report.add(compared)
        for name in plugins:
            if name not in replaying.seen:
                known = f"there are {', '.join(sorted(replaying.seen))}" if replaying.seen else "there are none"
                raise BadInput(f"--plugin {name}: expected the name of a plugin in {record}: {known}")


@contextmanager
def reporting(junit: Path | None) -> Iterator[Report]:
    """A report, and where its test cases are until it is known how many there are. Raises `BadInput`."""
    if junit is None:
        yield Report(None, None)
        return
    with _told(str(junit)):
        junit.touch()
        folder = gettempdir()
    with _told(f"{folder}, for temporary files"), TemporaryFile("w+", encoding="utf-8") as cases:
        yield Report(junit, cases)


class Report:
    """What came of it, as it comes: a few rows to be shown, and test cases in a file."""

    def __init__(self, junit: Path | None, cases: IO[str] | None) -> None:
        self.compared = self.different = self.hidden = 0
        self._skipped: Counter[str] = Counter()
        self._rows: list[tuple[str, ...]] = []
        self._found = 0
        self._junit = junit
        self._cases = cases

    def add(self, compared: Compared) -> None:
        """A call was compared, or left out."""
        if compared.skipped:
            self._skipped[compared.skipped] += 1
        else:
            self.compared += 1
            self.hidden += compared.hidden
            self.different += bool(compared.differences)
        lines = []
        for field, old, new in compared.differences:
            recorded, now = shown_apart(old, new, _MOST, none="nothing")
            lines.append(f"{field}: recorded {recorded}, now {now}")
            self._found += 1
            if len(self._rows) < MOST_ROWS:
                row = str(compared.number), compared.plugin, compared.method, compared.about, field, recorded, now
                self._rows.append(tuple(map(printable, row)))
        if self._cases is not None:
            self._cases.write(_case(compared, lines))

    def write(self) -> None:
        """Write the JUnit XML, where it is wanted."""
        if self._junit is None or self._cases is None:
            return
        skipped = sum(self._skipped.values())
        counts = f'tests="{self.compared + skipped}" failures="{self.different}" errors="0" skipped="{skipped}"'
        self._cases.seek(0)
        with _told(str(self._junit)), self._junit.open("w", encoding="utf-8") as file:
            file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {counts}>\n')
            file.write(f'<testsuite name="oarlock replay" {counts}>\n')
            while piece := self._cases.read(1 << 20):
                file.write(piece)
            file.write("</testsuite>\n</testsuites>\n")

    def show(self) -> None:
        """Print the differences, and how many calls there were."""
        if self._rows:
            table = Table(box=box.SIMPLE)
            for column in ("pass", "plugin", "method", "about", "field", "recorded", "now"):
                table.add_column(column, overflow="fold")
            for row in self._rows:
                table.add_row(*map(Text, row))
            console().print(table)
        if self._found > len(self._rows):
            click.echo(f"... and {self._found - len(self._rows):,} more differences")
        click.echo(f"compared {self.compared:,}, different {self.different:,}")
        for kind, why in (("cut", "not all of the call or its reply was kept"), ("unanswered", "it was not answered")):
            if self._skipped[kind]:
                click.echo(f"left out {self._skipped[kind]:,}: {why}")
        if self.hidden:
            click.echo(f"sent without the secrets that were in them: {self.hidden:,}")


@contextmanager
def _told(where: str) -> Iterator[None]:
    """What cannot be written is bad input, with the place."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"--junit: {where}: {error.strerror or error}") from None


def _case(compared: Compared, lines: list[str]) -> str:
    suite, name = f"{compared.plugin}.{compared.method}", f"{compared.about} (pass {compared.number})"
    opened = f"<testcase classname={_attribute(suite)} name={_attribute(name)}"
    if compared.skipped:
        return f"{opened}><skipped message={_attribute(compared.skipped)}/></testcase>\n"
    if not lines:
        return f"{opened}/>\n"
    text = escape("\n".join(map(printable, lines)))
    return f"{opened}><failure message={_attribute(lines[0])}>{text}</failure></testcase>\n"


def _attribute(text: str) -> str:
    return quoteattr(printable(text))
