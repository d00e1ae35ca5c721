"""What a client shows its plugin with each request, so that the plugin knows who asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import AnyStr, Final, Self

from rpc.tls import Tls

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2."""
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
"""RFC 9110, 5.5, and ASCII alone."""
# Hop-by-hop (RFC 9110, 7.6.1), and those that lanes or traces have a say in.
_OTHERS: Final = frozenset(
    {
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("host", "content-length", "content-type", "content-encoding", "accept-encoding", "expect"),
        *("traceparent", "tracestate"),
    }
)
_MAX_BYTES: Final = 64 * 1024
HIDDEN: Final = "***"
"""Stands for a secret where something is shown."""


class Secret(str):
    """The value of a header, which its repr does not show. ``file`` is where it was read, if in a file."""

    file: Path | None = None
    pattern = _VALUE
    called = "value of a header"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    @classmethod
    def read(cls, file: str | PathLike[str]) -> Self:
        """All of `file`, but for blanks around it. Raises `ValueError`, which never quotes it."""
        file = Path(file)
        try:
            with file.open("rb") as opened:
                text = opened.read(_MAX_BYTES).decode("utf-8").strip()
        except OSError as error:
            raise ValueError(f"cannot read {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"expected a {cls.called} in {file}, got bytes that are not text") from None
        if not cls.pattern.fullmatch(text):
            found = f"got characters that a {cls.called} cannot have" if text else "it is empty"
            raise ValueError(f"expected a {cls.called} in {file}, {found}")
        secret = cls(text)
        secret.file = file
        return secret

    def again(self) -> Self:
        """What is in its file now; itself where it has none. Raises `ValueError`."""
        return self if self.file is None else self.read(self.file)


class Token(Secret):
    """A bearer token (RFC 6750, 2.1), likewise."""

    pattern = re.compile(r"[A-Za-z0-9._~+/-]+=*")
    called = "token"


def check_token(token: str) -> None:
    """Raises `ValueError` for one that no request could carry, such as what `read` returns of a file with a line in it;
    which is not quoted."""
    if not (token and token.isascii() and token.isprintable() and token == token.strip()):
        raise ValueError("a token is printable ASCII, one character or more, with no space before or behind it")


@dataclass(frozen=True)
class Credentials:
    """``token`` is sent as a bearer token (RFC 6750), ``headers`` as they are; ``tls`` says whom to trust, too.

    Those that are a `Secret` with a file, and those of ``tls``, can be read again. Raises `ValueError`, which never
    quotes a value.
    """

    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if self.token is not None:
            check_token(self.token)
        check_names(self.headers, token=self.token is not None)
        for name, value in self.headers.items():
            if not _VALUE.fullmatch(value):
                raise ValueError(f"the value of {name} is not one line of printable ASCII")

    @property
    def files(self) -> tuple[Path, ...]:
        """Where they were read."""
        secrets = [each.file for each in (self.token, *self.headers.values()) if isinstance(each, Secret)]
        return (
            *(file for file in secrets if file is not None),
            *(self.tls.files.values() if self.tls is not None else ()),
        )

    def again(self) -> Credentials:
        """As they are in the files now. Raises `ValueError`."""
        return Credentials(
            None if self.token is None else _again(self.token),
            {name: _again(value) for name, value in self.headers.items()},
            None if self.tls is None else self.tls.again(),
        )

    @property
    def lines(self) -> dict[str, str]:
        """The headers of every request."""
        bearer = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {**bearer, **self.headers}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody else should see."""
        return (*(() if self.token is None else (self.token,)), *self.headers.values())


def check_names(names: Mapping[str, object], *, token: bool) -> None:
    """Raises `ValueError` for a header that is none, or is not for credentials. ``token``: there is one beside them."""
    seen: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"expected the name of a header, got {name!r}")
        lower = name.lower()
        if lower in _OTHERS:
            raise ValueError(f"{name} is not for credentials: what it says is up to the client")
        if lower == "authorization" and token:
            raise ValueError(f"expected either {name} or a token, which is sent as Authorization, got both")
        if lower in seen:
            raise ValueError(f"{name} is there twice: upper and lower case are the same")
        seen.add(lower)


def without(text: AnyStr, secrets: Iterable[str]) -> AnyStr:
    """`text` with ``***`` for each of the `secrets`, be it in JSON or not."""
    for secret in secrets:
        quoted = json.dumps(secret)[1:-1] if '"' in secret or "\\" in secret else secret
        for written in dict.fromkeys((secret, quoted)):
            if isinstance(text, str):
                text = text.replace(written, HIDDEN)
            else:
                text = text.replace(written.encode(), HIDDEN.encode())
    return text


def _again(text: str) -> str:
    return text.again() if isinstance(text, Secret) else text
