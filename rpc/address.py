"""Where a plugin lives: ``http://host:port``, ``https://host:port`` or ``unix:///path/to.sock``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_AUTHORITY: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::[0-9]*)?")
_NAME: Final = re.compile(r"(?=.{1,254}$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.IGNORECASE)
"""What DNS can look up (RFC 1035, 2.3.4), underscores included: names in a container network have them."""


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
    """Parse ``text``. Raises `ValueError`, whose message says what was expected.

    What is taken can be looked up and sent. A URL is ASCII (RFC 3986): how another text is to be encoded, its writer
    must say. Zones (RFC 6874) are refused, because not every event loop can connect to an address with one.
    """
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
    if not text.isascii():
        raise ValueError(f"{text!r} must be ASCII: a host name in its xn-- form, a path percent-encoded")
    if not url.hostname:
        raise ValueError(f"{text!r} has no host")
    if "%" in url.netloc:
        raise ValueError(f"{text!r} has a % in its host: neither zones nor percent-encoding are taken there")
    if not _is_host(url.netloc):
        raise ValueError(f"{text!r} has no host that can be: expected a name, an IPv4 or, in brackets, an IPv6 address")
    if port == 0:
        raise ValueError(f"{text!r} has port 0")
    scheme: Literal["http", "https"] = "https" if url.scheme == "https" else "http"
    return Address(scheme, url.hostname, port or _DEFAULT_PORTS[scheme], prefix=url.path.rstrip("/"))


def _is_host(authority: str) -> bool:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or match[1] is None:
        return match is not None and _NAME.fullmatch(match[2]) is not None
    try:
        ipaddress.IPv6Address(match[1])
    except ValueError:
        return False
    return True
