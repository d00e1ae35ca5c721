"""What is shown to people: nothing of it can steer their terminal, and nothing that is piped is cut or wrapped."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_UNWRAPPED: Final = 1 << 20
"""Columns of what is no terminal."""

_HIDDEN: Final = (
    *range(0x20),  # C0, with newlines: what a plugin says makes no lines of its own
    *range(0x7F, 0xA0),  # DEL and C1, of which U+009B begins a sequence as ESC [ does
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),  # text that runs the other way shows what is not there (CVE-2021-42574)
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
    *range(0xFFF9, 0xFFFC),
    *(0xFFFE, 0xFFFF),  # which XML does not have
)
ESCAPES: Final = {code: chr(code).encode("unicode_escape", "surrogatepass").decode() for code in _HIDDEN}
"""Control characters by their code, and what is shown in their place: `\\x1b`, `\\u202e`."""


def printable(text: object) -> str:
    """What `str` makes of it, in one line, with control characters as Python would write them in a literal."""
    return str(text).translate(ESCAPES)


def tell(text: str) -> None:
    """A line to standard error, which is lost where nobody reads that any more, or its disk is full."""
    with suppress(OSError):
        click.echo(printable(text), err=True)


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or standard error, as it is now; of no width to speak of where it is no terminal."""
    from rich.console import Console  # which many commands do without

    class Raising(Console):
        def on_broken_pipe(self) -> None:
            raise  # as any error of writing; rich would end the program without a word

    found = Raising(stderr=stderr)
    return found if found.is_terminal else Raising(stderr=stderr, width=_UNWRAPPED)


def print_whole_words(table: Table) -> None:
    """A table on standard output that is wider than the terminal where words would have to be broken.

    One of its columns may wrap, as rich shrinks several without a look at their words.
    """
    from rich.console import ConsoleDimensions
    from rich.measure import Measurement

    shown = console()
    unwrapped = shown.options.update(width=_UNWRAPPED)
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(Measurement.get(shown, unwrapped, cell).maximum for cell in column.cells)
    narrowest = Measurement.get(shown, unwrapped, table).minimum
    shown.size = ConsoleDimensions(max(shown.width, narrowest), shown.height)
    shown.print(table)
