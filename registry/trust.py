"""What a plugin that was discovered may not have.

ConfigMaps may be written by those whom the controller's files, its machine and its cloud account are not for.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Final

from registry.config import FieldError, PluginConfig
from rpc.address import parse_address
from rpc.limiter import CEILING

FILE_KEYS: Final = ("token_file",)
"""Keys whose values are read from the controller's files."""

_WHERE: Final = "only in plugins.toml, for ConfigMaps may be written by others"
FILE_REFUSED: Final = f"a file of the controller can be named {_WHERE}"

_MAX_BODY: Final = PluginConfig(name="_", address="http://localhost").max_body
_V4: Final = ipaddress.IPv4Address
# Where machines in a cloud are told who they are: Amazon's and Google's IPv6, Azure's, Alibaba's and Oracle's services,
# which have addresses of other kinds than link-local ones, and the names that some have.
_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")
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


def refuse_untrusted(plugin: PluginConfig) -> None:
    """Raises `FieldError` for what only the controller's own configuration may say of a plugin.

    A loopback address is allowed: it is that of a plugin beside the controller, which is how Argo deploys them.
    """
    address = parse_address(plugin.address)
    if address.scheme == "unix":
        raise FieldError("address", f"a unix socket can be named {_WHERE}")
    if what := _special(address.host):
        raise FieldError("address", f"{what} can be named {_WHERE}")
    if plugin.max_body > _MAX_BODY:
        raise FieldError("max_body", f"more than {_MAX_BODY} can be set {_WHERE}")
    if plugin.concurrency != "adaptive" and plugin.concurrency > CEILING:
        raise FieldError("concurrency", f"more than {CEILING} can be set {_WHERE}")


def _special(host: str) -> str | None:
    """What `host` is, where it is none to call on the word of others; as the system's resolver reads it."""
    name = host.rstrip(".").lower()
    if name in _METADATA_NAMES:
        return "a metadata service"
    for address in _addresses(name):
        if address.is_link_local:
            return "a link-local address"
        if address in _METADATA_ADDRESSES:
            return "a metadata service"
    return None


def _addresses(name: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address that `name` writes, in any form, and those that are within it; nothing for a name."""
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
