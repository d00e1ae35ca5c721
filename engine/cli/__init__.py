"""The command line: run workflows on a laptop, stop, resume and retry them, check plugins."""

from __future__ import annotations

import click

from engine.cli.operations import resume, retry, stop, suspend, terminate
from engine.cli.run import run
from registry.cli import check


@click.group()
@click.version_option(package_name="oarlock")
def main() -> None:
    """Reconcile Argo-style workflows in memory, with plugins that are called over HTTP."""


for command in (run, stop, terminate, suspend, resume, retry, check):
    main.add_command(command)
