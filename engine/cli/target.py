"""One plugin, named by its address on the command line, and what is said where it cannot be called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine.cli.options import Duration
from registry.cli import BadInput

if TYPE_CHECKING:
    from registry import PluginConfig

_Command = TypeVar("_Command", bound=Callable[..., Any])

token_file = click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Send the token in it with each request."
)


def timeout(default: float) -> Callable[[_Command], _Command]:
    """The option, where a request is given so many seconds."""
    return click.option(
        "--timeout", type=Duration(), default=default, show_default=f"{default:g}s", help="How long one reply may take."
    )


def plugin_at(option: str, address: str, token_file: Path | None, timeout: float, name: str = "") -> PluginConfig:
    """A plugin that is asked once, with no retries; called by its address where it has no name.

    Raises `BadInput`, naming the option or argument that is wrong.
    """
    from registry.config import FieldError, PluginConfig, RetrySettings, Seconds
    from registry.secrets import warn_of_readers
    from rpc import Token
    from rpc.address import parse_address

    if not timeout > 0:
        raise BadInput("--timeout: expected a duration greater than zero")
    try:
        token = None if token_file is None else Token.read(token_file)
    except ValueError as error:
        raise BadInput(f"--token-file: {error}") from None
    if token_file is not None:
        warn_of_readers(token_file)
    try:
        where = parse_address(address)
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None
    try:
        return PluginConfig(
            name=name or str(where),
            address=address,
            token=token,
            timeout=Seconds(timeout),
            retry=RetrySettings(attempts=1),
        )
    except FieldError as error:
        raise BadInput(f"{option}: {error.reason}") from None


def unreachable(option: str, reason: str, *, untrusted: bool) -> BadInput:
    """The error where no connection could be made, and what to do."""
    if not untrusted:
        return BadInput(f"{option}: {reason}; start the plugin, or give its address")
    advice = "; name the certificate of who signed it in SSL_CERT_FILE" if "unknown issuer" in reason else ""
    return BadInput(f"{option}: {reason}{advice}")
