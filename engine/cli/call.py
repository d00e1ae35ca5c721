"""``call``: one call to a plugin, and what an engine would make of the reply."""

from __future__ import annotations

import sys

import click

from engine.cli import target
from engine.cli.options import Assignment


@click.command()
@click.argument("method")
@click.option("--plugin", "address", required=True, metavar="URL", help="Where it is: http://, https:// or unix:///.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    type=Assignment(),
    metavar="PATH=VALUE",
    help="Put a value, JSON or else text, into the arguments, as in node.phase=Running.",
)
@target.on_terms
def call(method: str, address: str, changes: tuple[tuple[str, str], ...], terms: target.Terms) -> None:
    """Call METHOD, such as node.preExecute, of a plugin once, with no workflow.

    The arguments are those that docs/protocol.md shows, about a workflow "hello" that does not exist, changed by --set:
    a path may have indices, as in template.container.command[0]=ls, and dots in a key have a backslash before them.
    Shows the request, the reply, and what an engine would do.

    Exit code 0: the plugin replied. 1: it does not have the method, or what it replied is no good. 2: bad input, or
    nobody answers at that address.

    \b
    Examples:
      oarlock call node.preExecute --plugin http://localhost:4355 --set node.phase=Running
      oarlock call template.execute --plugin unix:///run/p.sock --set 'template.plugin={"spark": {"main": "a.jar"}}'
    """
    from engine.cli.calling import call_once

    if not call_once(method, target.plugin_at("--plugin", address, terms), changes):
        sys.exit(1)
