"""``stop``, ``terminate``, ``suspend``, ``resume`` and ``retry``: what `argo` does to workflows in a cluster, for
those that `--output yaml` or json has written. Each then reconciles them as `run` does."""

from __future__ import annotations

import click

from engine.cli.options import Assignment, Options, node_field_selector, parameter, reconciling
from engine.cli.reconciling import reconcile

_message = click.option("--message", default="", help="Why; nodes that are ended by this say so.")


@click.command()
@reconciling
@node_field_selector
@_message
def stop(options: Options, node_field_selector: str, message: str) -> None:
    """End workflows but run their exit handlers, then write them as `run` does.

    With --node-field-selector only the suspended nodes that match are ended, as Failed.
    """
    reconcile(
        options,
        lambda engine, workflow: engine.stop(workflow, node_field_selector=node_field_selector, message=message),
    )


@click.command()
@reconciling
@_message
def terminate(options: Options, message: str) -> None:
    """End workflows without running their exit handlers, then write them as `run` does."""
    reconcile(options, lambda engine, workflow: engine.terminate(workflow, message=message))


@click.command()
@reconciling
def suspend(options: Options) -> None:
    """Suspend workflows as a whole, and write them as `run` does. They are not finished: exit code 3."""
    reconcile(options, lambda engine, workflow: engine.suspend(workflow))


@click.command()
@reconciling
@node_field_selector
@click.option(
    "--output-parameter",
    "-p",
    "parameters",
    multiple=True,
    type=Assignment(),
    help="A value for an output parameter that is to be supplied.",
)
def resume(options: Options, node_field_selector: str, parameters: tuple[tuple[str, str], ...]) -> None:
    """Let workflows go on that are suspended, or wait at suspended nodes, and reconcile them as `run` does.

    With --node-field-selector only the suspended nodes that match go on.
    """
    given = dict(parameters)
    reconcile(
        options,
        lambda engine, workflow: engine.resume(workflow, node_field_selector=node_field_selector, parameters=given),
    )


@click.command()
@reconciling
@click.option("--restart-successful", is_flag=True, help="Run nodes again that match the selector, though successful.")
@node_field_selector
@parameter
def retry(
    options: Options, restart_successful: bool, node_field_selector: str, parameters: tuple[tuple[str, str], ...]
) -> None:
    """Run again what failed in workflows that Failed or are in Error, and reconcile them as `run` does.

    What succeeded is kept, unless --restart-successful and --node-field-selector say which nodes to run again.
    """
    reconcile(
        options,
        lambda engine, workflow: engine.retry(
            workflow,
            restart_successful=restart_successful,
            node_field_selector=node_field_selector,
            parameters=dict(parameters),
        ),
    )
