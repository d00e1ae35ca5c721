"""Where a plugin may be: rules that an address must pass before it is dialled, whatever name has led to it."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Rule = IpNetwork | str
"""A network, or a glob for names in lower case."""

_V4: Final = ipaddress.IPv4Address
_LOCALHOST: Final[tuple[IpNetwork, ...]] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1"))
# Where machines in a cloud are told who they are: Amazon's and Google's IPv6, Azure's, Alibaba's and Oracle's services,
# which have addresses of other kinds than link-local ones, and the names that some have.
_METADATA: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("fd00:ec2::/32", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")
)
_METADATA_NAMES: Final = (
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
    "instance-data",
    "instance-data.ec2.internal",
)
# IPv6 addresses with an IPv4 one in their last 32 bits: compatible, mapped, translated (RFC 4291, 2765, 6052, 8215).
_EMBEDDING: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_GLOB: Final = re.compile(r"(?=.*[a-z]|\*$)[a-z0-9_*-]+(\.[a-z0-9_*-]+)*\.?", re.IGNORECASE)


def parse_rule(text: str) -> tuple[Rule, ...]:
    """What an entry of ``allowed_addresses`` stands for. Raises `ValueError`, whose message says what was expected.

    ``localhost`` stands for the loopback addresses, however they are called.
    """
    if text.lower() == "localhost":
        return _LOCALHOST
    try:
        return (ipaddress.ip_network(text),)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        if _GLOB.fullmatch(text):
            return (text.rstrip(".").lower(),)
    else:
        raise ValueError(f"expected the address of a network, such as {meant}, got {text}")
    raise ValueError(f'expected an IP address, a network such as "10.0.0.0/8", or a name or a glob, got "{text[:60]}"')


@dataclass(frozen=True, slots=True)
class Destinations:
    """What addresses may be dialled. ``allowed``: entries as `parse_rule` takes them; None for any.

    ``discovered``: the plugin's address is the word of others. Then link-local addresses and metadata services, where a
    machine's credentials are handed out, are refused, unless an entry is that address, or a network of link-local ones.
    Nor does the name that an entry allows ever lead to them.
    """

    allowed: tuple[str, ...] | None = None
    discovered: bool = False

    def refusal(self, host: str, address: str) -> str | None:
        """Why `address`, which `host` stands for, is not to be dialled; None where it may be.

        `host` itself may be an address, and then `address` is that in the form in which it is dialled.
        """
        number = next(_written(address), None)
        shown = address if _is_address(host) else f"{address}, which {host} stands for,"
        if number is None:
            return f"{shown} is no IP address"
        rules = [rule for entry in self.allowed or () for rule in parse_rule(entry)]
        networks = [rule for rule in rules if not isinstance(rule, str)]
        dialled = getattr(number, "ipv4_mapped", None) or number
        within = [network for network in networks if dialled in network]
        special = special_place(address)
        if special and (self.discovered or self.allowed is not None):
            if any(network.num_addresses == 1 or network.is_link_local for network in within):
                return None
            if self.discovered:
                return f"{shown} is {special}, where no plugin that was discovered may be"
        if self.allowed is None or within or (not special and _is_named(host, rules)):
            return None
        return f"{shown} is not in allowed_addresses ({', '.join(self.allowed)})"

    def refusal_unseen(self, host: str) -> str | None:
        """The same of what can be told with no lookup: that of an address, and of the name of a metadata service."""
        if (written := next(_written(host), None)) is not None:
            return self.refusal(host, str(written))
        if self.discovered and (special := special_place(host)):
            return f"{host} is {special}, where no plugin that was discovered may be"
        return None


ANYWHERE: Final = Destinations()


def _is_named(host: str, rules: list[Rule]) -> bool:
    name = _name(host)
    return not _is_address(host) and any(isinstance(rule, str) and fnmatchcase(name, rule) for rule in rules)


def _name(host: str) -> str:
    return host.rstrip(".").lower()


def _is_address(host: str) -> bool:
    return next(_written(host), None) is not None


def special_place(host: str) -> str | None:
    """What `host` is, where it is none to call on the word of others: a link-local address or a metadata service."""
    if _name(host) in _METADATA_NAMES:
        return "a metadata service"
    for each in _written(host):
        if each.is_link_local:
            return "a link-local address"
        if any(each in network for network in _METADATA):
            return "a metadata service"
    return None


def _written(text: str) -> Iterator[IpAddress]:
    """The address that `text` writes, as the system's resolver reads it, and those within it; none of a name."""
    name = _name(text)
    try:
        # Also ``2852039166``, ``0xa9.0xfe.43518`` and the like, which getaddrinfo takes for addresses.
        yield _V4(socket.inet_aton(name))
        return
    except OSError:
        pass
    try:
        address = ipaddress.IPv6Address(name.partition("%")[0])
    except ValueError:
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in _EMBEDDING):
        yield _V4(int(address) & 0xFFFFFFFF)
