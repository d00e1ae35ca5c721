"""What a plugin that was discovered may not have.

ConfigMaps may be written by those whom the controller's files, its machine and its cloud account are not for.
"""

from __future__ import annotations

from typing import Final

from registry.config import FieldError, PluginConfig
from rpc.address import parse_address
from rpc.destinations import Destinations, special_place
from rpc.limiter import CEILING

FILE_KEYS: Final = ("token_file", "headers", "tls")
"""Keys whose values are read from the controller's files."""

_WHERE: Final = "only in plugins.toml, for ConfigMaps may be written by others"
FILE_REFUSED: Final = f"a file of the controller can be named {_WHERE}"

_MAX_BODY: Final = PluginConfig(name="_", address="http://localhost").max_body


def refuse_untrusted(plugin: PluginConfig, destinations: Destinations) -> None:
    """Raises `FieldError` for what only the controller's own configuration may say of a plugin.

    A loopback address is allowed: it is that of a plugin beside the controller, which is how Argo deploys them.
    """
    address = parse_address(plugin.address)
    if address.scheme == "unix":
        raise FieldError("address", f"a unix socket can be named {_WHERE}")
    if refusal := destinations.refusal_unseen(address.host):
        special = special_place(address.host)
        raise FieldError("address", f"{special} can be named {_WHERE}" if special else refusal)
    if plugin.max_body > _MAX_BODY:
        raise FieldError("max_body", f"more than {_MAX_BODY} can be set {_WHERE}")
    if plugin.concurrency != "adaptive" and plugin.concurrency > CEILING:
        raise FieldError("concurrency", f"more than {CEILING} can be set {_WHERE}")
