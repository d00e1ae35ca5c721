"""``run``: workflows from the manifest, or from where they were left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.options import Options, fleet, parameter, read_parameters, reconciling, text
from engine.cli.reconciling import reconcile
from registry.cli import BadInput, FileName
from registry.terminal import tell

if TYPE_CHECKING:
    from engine.model.workflow import Workflow
    from engine.reconciler import Reconciler


@click.command()
@reconciling
@fleet
@parameter
@click.option("--parameter-file", "-f", type=FileName(), help="Values for arguments: a mapping in YAML or JSON.")
@click.option("--entrypoint", callback=text, help="The template to begin with, over what the spec says.")
@click.option(
    "--from",
    "source",
    metavar="KIND/NAME",
    help="Run this workflowtemplate, clusterworkflowtemplate or cronwf instead.",
)
def run(
    options: Options,
    parameters: tuple[tuple[str, str], ...],
    parameter_file: Path | None,
    entrypoint: str | None,
    source: str | None,
) -> None:
    """Reconcile the workflows in WF.yaml... to their end.

    A file may be a folder, or - for standard input. WorkflowTemplates and ConfigMaps that workflows refer to are given
    as further files. What `--output yaml` or json has written goes on from there. Time is simulated: suspends,
    deadlines and durations take no time, and --timeout counts them all the same. With --executor local leaves are
    processes of this machine, which end with the command, and time is what it is. SIGTERM and Ctrl-C let the passes
    under way end; a second one does not.

    Exit code 0: all Succeeded. 1: some Failed or Error. 2: bad input, or an output that cannot be written. 3: not
    finished. 130: Ctrl-C before they were.

    \b
    Examples:
      oarlock run wf.yaml templates/ -p greeting=hello
      oarlock run templates.yaml --from workflowtemplate/build -p branch=main
      kubectl get workflow build-x7k2p -o yaml | oarlock run -
      oarlock run wf.yaml --outcomes outcomes.yaml --output json
    """
    from engine.cli.lacking import doubtful
    from engine.manifests import ManifestError
    from engine.operations import with_parameters, with_spec

    try:
        given = {**read_parameters(parameter_file), **dict(parameters)}
    except ManifestError as error:
        raise BadInput(str(error)) from None

    async def override(engine: Reconciler, workflow: Workflow) -> None:
        if (given or entrypoint) and workflow.phase:
            raise BadInput(f"{workflow.key} has begun: its arguments and entrypoint are what they are")
        if entrypoint:
            workflow.document = with_spec(workflow.document, entrypoint=entrypoint)
        if given:
            for line in doubtful(workflow, engine.templates.library(workflow.namespace), given):
                tell(f"warning: {line}")
            workflow.document = with_parameters(workflow.document, given)

    reconcile(options, override, source)
