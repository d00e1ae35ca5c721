"""Where a plugin lives: ``http://host:port``, ``https://host:port`` or ``unix:///path/to.sock``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed plugin address. ``prefix`` is put before every method path, ``""`` for none; it never ends in a slash.

    For ``unix`` only ``socket`` is set, for the other two only ``host`` and ``port``.
    """

    scheme: Literal["http", "https", "unix"]
    host: str = ""
    port: int = 0
    socket: str = ""
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110, 7.2); a unix socket has no host, ``localhost`` is customary."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL that a generic HTTP client would be given, without the prefix."""
        return f"{'https' if self.scheme == 'https' else 'http'}://{self.authority}"

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.scheme == "unix" else f"{self.origin}{self.prefix}"


def parse_address(text: str) -> Address:
    """Parse ``text``. Raises `ValueError`, whose message says what was expected."""
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"{text!r} has blanks or control characters in it")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https", "unix"):
        raise ValueError(f"{text!r} is not an http://, https:// or unix:/// address")
    if url.query or url.fragment or "?" in text or "#" in text:
        raise ValueError(f"{text!r} must not have a query or a fragment")
    if url.scheme == "unix":
        if url.netloc or not url.path.startswith("/") or url.path.endswith("/"):
            raise ValueError(f"{text!r} must name a socket by its absolute path, as in unix:///run/plugin.sock")
        return Address("unix", socket=url.path)
    if url.username is not None or url.password is not None:
        raise ValueError("credentials do not belong in an address; configure a token instead")
    if not url.hostname:
        raise ValueError(f"{text!r} has no host")
    if port == 0:
        raise ValueError(f"{text!r} has port 0")
    scheme: Literal["http", "https"] = "https" if url.scheme == "https" else "http"
    return Address(scheme, url.hostname, port or _DEFAULT_PORTS[scheme], prefix=url.path.rstrip("/"))
