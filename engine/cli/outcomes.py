"""``outcomes``: the skeleton of a file for ``--outcomes``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from registry.cli import BadInput, FileName

_HEAD: Final = """\
# How the leaves of a simulated run end: by the name of their template, or as node:NAME by that of one node.
# What is not named succeeds with empty outputs. An entry may have: phase (Succeeded, Failed, Error or Skipped),
# message, exitCode, result, parameters, duration; a list of entries is one for each attempt.
"""


@click.command()
@click.argument("files", nargs=-1, required=True, type=FileName(), metavar="WF.yaml...")
def outcomes(files: tuple[Path, ...]) -> None:
    """Print a file for --outcomes, with the outputs that the workflows and templates in WF.yaml... read.

    \b
    Example:
      oarlock outcomes wf.yaml > outcomes.yaml
      oarlock run wf.yaml --outcomes outcomes.yaml
    """
    from engine.cli.outputs import read_outputs, skeleton
    from engine.manifests import ManifestError, load
    from engine.shape import WrongType

    try:
        click.echo(_HEAD + "".join(skeleton(read_outputs(load(files)))), nl=False)
    except (ManifestError, WrongType) as error:
        raise BadInput(str(error)) from None
