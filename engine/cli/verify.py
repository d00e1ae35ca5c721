"""``verify``: whether a plugin does all that the protocol asks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.cli import target
from registry.cli import FileName


@click.command()
@click.argument("address", metavar="URL")
@click.option("--json", "as_json", is_flag=True, help="Write what was found as JSON.")
@click.option(
    "--junit",
    type=FileName(),
    metavar="FILE",
    help="Write a report for CI, too: a test for each thing that was tried.",
)
@target.on_terms
def verify(address: str, as_json: bool, junit: Path | None, terms: target.Terms) -> None:
    """Try everything that the protocol asks of the plugin at URL, an http://, https:// or unix:/// address.

    It is called some hundred times for each method that it has, about workflows and nodes that do not exist (hello,
    verify, verify-0001, ...): use one that may act on them. Says what is wrong, where, why that matters, and what to
    change; docs/verify.md lists all of it.

    Exit code 0: there are no faults; there may be warnings. 1: there are faults. 2: bad input, a report that cannot be
    written, or nobody answers at that address.
    """
    from engine.cli.verifying import verify_plugin

    if not verify_plugin(target.plugin_at("URL", address, terms), as_json=as_json, junit=junit):
        sys.exit(1)
