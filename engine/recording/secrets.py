"""What of a request or a reply is nobody's business, and is left out where it is written down.

That is what is configured as a secret, wherever it stands; what stands under a name that says that it is one
(`Authorization`, `DB_PASSWORD`), be it a key's or that of a parameter, a header or a variable; and what looks like a
credential in the middle of a text: a bearer token, the password in an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson
import re2

from rpc.credentials import HIDDEN

_NAMES: Final = (
    r"(?:authorization|passw(?:or)?d|passphrase|token|secret|credentials?|cookie|(?:api|access|private|secret)[-_]?key)"
)
_NAME: Final = re.compile(rf"{_NAMES}\Z", re.IGNORECASE)
_VALUES: Final = ("value", "default")
"""What a `name` beside them is the name of."""
_TEXTS: Final = (
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(authorization\s*:\s*(?:\w+\s+)?)[^\s'\",;]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^/@\s:]*:)[^/@\s]+@"), rf"\1{HIDDEN}@"),
)


class Secrets:
    """Those that are known by what they are, and all that are by their place."""

    def __init__(self) -> None:
        self._known: list[str] = []
        self.listeners: list[Callable[[list[str]], None]] = []
        """Told of those that are new."""
        self._finding = self._finder()

    def add(self, secrets: Iterable[str]) -> None:
        """Leave these texts out, too."""
        new = [each for each in dict.fromkeys(secrets) if each and each not in self._known]
        if new:
            # The longest first: it may have another one in it.
            self._known = sorted([*self._known, *new], key=len, reverse=True)
            self._finding = self._finder()
            for listener in self.listeners:
                listener(new)

    @property
    def known(self) -> list[str]:
        """Those that are known by what they are."""
        return self._known

    def _finder(self) -> re2._Regexp[bytes]:
        """What is in every JSON that has a secret in it: one look at each byte, since there may be very many."""
        known = [re2.escape(_quoted(each)) for each in self._known]
        return re2.compile("|".join([*known, f"(?i:{_NAMES}|bearer)", "://[^/@]*:[^/@]*@"]).encode())

    def found(self, document: bytes) -> bool:
        """Whether there may be one in it."""
        return self._finding.search(document) is not None

    def without(self, document: bytes) -> tuple[bytes, bool]:
        """JSON with nothing of them in it, and whether there was."""
        if not self.found(document):
            return document, False
        try:
            before = orjson.loads(document)
            after = self.strip(before)
            return (document, False) if after == before else (orjson.dumps(after), True)
        except (RecursionError, orjson.JSONEncodeError):  # nested too deep to be looked at
            return orjson.dumps(HIDDEN), True

    def strip(self, value: Any, secret: bool = False) -> Any:
        """A document with nothing of them in it; what is `secret` is one by its name."""
        if isinstance(value, str):
            return HIDDEN if secret and value else self._text(value)
        if isinstance(value, list):
            return [self.strip(each, secret) for each in value]
        if isinstance(value, dict):
            named = isinstance(name := value.get("name"), str) and _NAME.search(name) is not None
            return {
                self._text(key): self.strip(each, _NAME.search(key) is not None or (named and key in _VALUES))
                for key, each in value.items()
            }
        return HIDDEN if secret and type(value) in (int, float) else value

    def _text(self, text: str) -> str:
        for known in self._known:
            text = text.replace(known, HIDDEN)
        for pattern, replacement in _TEXTS:
            text = pattern.sub(replacement, text)
        return text


def _quoted(text: str) -> str:
    return orjson.dumps(text)[1:-1].decode()
