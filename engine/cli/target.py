"""One plugin, named by its address on the command line, and what is said where it cannot be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli.options import Duration
from registry.cli import BadInput, FileName

if TYPE_CHECKING:
    from registry import PluginConfig
    from rpc import Tls
    from rpc.address import Address


@dataclass(frozen=True)
class Terms:
    """How a plugin is called that is named by its address: the options below."""

    token_file: Path | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    key_password_file: Path | None
    timeout: float


_OPTIONS: Final = (
    click.option("--token-file", type=FileName(), metavar="FILE", help="Send the token in it with each request."),
    click.option("--ca-file", type=FileName(), metavar="FILE",
                 help="Certificates of those who may have signed an https:// plugin's, instead of the system's; PEM."),
    click.option("--cert-file", type=FileName(), metavar="FILE",
                 help="Our own certificate, for a plugin that asks for it, and those of who signed it."),
    click.option("--key-file", type=FileName(), metavar="FILE", help="Its key, where that is another file."),
    click.option("--key-password-file", type=FileName(), metavar="FILE", help="What the key is encrypted with."),
    click.option("--timeout", type=Duration(), default=1.0, show_default="1s", help="How long one reply may take."),
)  # fmt: skip


def on_terms(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as ``terms``."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        terms = Terms(**{each.name: given.pop(each.name) for each in fields(Terms)})
        function(**given, terms=terms)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plugin_at(option: str, address: str, terms: Terms, name: str = "") -> PluginConfig:
    """A plugin that is asked once, with no retries; called by its address where it has no name.

    Raises `BadInput`, naming the option or argument that is wrong.
    """
    from registry.config import FieldError, PluginConfig, RetrySettings, Seconds
    from registry.secrets import warn_of_readers
    from rpc import Token
    from rpc.address import parse_address

    if not terms.timeout > 0:
        raise BadInput("--timeout: expected a duration greater than zero")
    try:
        token = None if terms.token_file is None else Token.read(terms.token_file)
    except ValueError as error:
        raise BadInput(f"--token-file: {error}") from None
    try:
        where = parse_address(address)
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None
    tls = _tls(terms, where)
    for file in (terms.token_file, terms.key_file, terms.key_password_file):
        if file is not None:
            warn_of_readers(file)
    try:
        return PluginConfig(
            name=name or str(where),
            address=address,
            token=token,
            tls=tls,
            timeout=Seconds(terms.timeout),
            retry=RetrySettings(attempts=1),
        )
    except FieldError as error:
        raise BadInput(f"{option}: {error.reason}") from None


def _tls(terms: Terms, where: Address) -> Tls | None:
    names = ("ca_file", "cert_file", "key_file", "key_password_file")
    given = {name: file for name in names if (file := getattr(terms, name)) is not None}
    if not given:
        return None
    from rpc import BadTls, Tls

    try:
        if where.scheme != "https":
            raise BadTls(next(iter(given)), f"expected an https:// address, got {where}")
        return Tls(**given)
    except BadTls as error:
        raise BadInput(f"--{error.field.replace('_', '-')}: {error.reason}") from None


async def connect_once(option: str, plugin: PluginConfig) -> None:
    """Raise `BadInput`, with what to do, where no connection to the plugin can be made, or it cannot be trusted."""
    from rpc.address import parse_address
    from rpc.reachability import NOBODY, can_connect

    problem = await can_connect(parse_address(plugin.address), plugin.timeout, tls=plugin.tls)
    if problem is None:
        return
    if problem.startswith(NOBODY):
        raise BadInput(f"{option}: {problem}; start the plugin, or give its address")
    advice = ""
    if "unknown issuer" in problem:
        advice = "; give the certificate of who signed it with --ca-file"
    elif "client certificate" in problem and (plugin.tls is None or "cert_file" not in plugin.tls.files):
        advice = "; give ours with --cert-file and --key-file"
    raise BadInput(f"{option}: {problem}{advice}")
