"""JSON that is read in parts: a workflow with very many nodes, without a document of them all on the way."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

WINDOW: Final = 1 << 18
"""Bytes that are looked at together, which takes about a millisecond; a value may be longer."""

_decode: Final = json.JSONDecoder().raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class Text:
    """A JSON text, and how far it is read. Everything raises `ValueError` for what is none."""

    def __init__(self, data: bytes) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = memoryview(data)
        self._window = ""
        self._at = 0
        self._before = 0
        """Characters before the window."""

    def value(self) -> Any:
        """What comes next, whatever it is."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self._unexpected(error.msg, error.pos) from None
            else:
                if end < len(self._window) or not self._more():  # else there may be more of a number
                    self._at = end
                    return value

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; after each the caller reads its value."""
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                raise self._unexpected("Expecting a key in double quotes", self._at)
            key: str = self.value()
            self._take(":")
            yield key
            if self.peek() == "}":
                self._at += 1
                return
            self._take(",")

    def peek(self) -> str:
        """The first character of what comes next; empty at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._at = found.end() if found is not None else self._at
            if self._at < len(self._window) or not self._more():
                return self._window[self._at : self._at + 1]

    def end(self) -> None:
        """Nothing may come any more."""
        if self.peek():
            raise self._unexpected("Extra data", self._at)

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self._unexpected(f"Expecting {character!r}", self._at)
        self._at += 1

    def _more(self) -> bool:
        """Look farther, as far again where one value goes beyond the window; whether there is anything."""
        if not self._rest:
            return False
        size = max(WINDOW, len(self._window) - self._at)
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._before += self._at
        self._window = self._window[self._at :] + self._decoder.decode(piece, not self._rest)
        self._at = 0
        return True

    def _unexpected(self, what: str, at: int) -> ValueError:
        return ValueError(f"{what} at character {self._before + at + 1}")
