"""The command line: run workflows on a laptop, check plugins."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import orjson
import uvloop
import yaml
from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.text import Text

from engine.engine import Engine
from engine.execution import Executor
from engine.manifests import ManifestError, Manifests, load
from engine.outcomes import Outcomes
from engine.shape import WrongType, check_shape
from engine.signals import draining
from engine.simulation import PendingExecutor, SimulatedExecutor
from engine.summary import show_statistics, summarize
from engine.workflow import InvalidWorkflow, Workflow
from registry import ConfigError, Registry, find_unreachable
from registry.cli import BadInput, check
from registry.logs import configure_logs
from rpc.durations import parse_duration

FAILED: Final = 1
UNFINISHED: Final = 3


class Duration(click.ParamType[float]):
    """A Go-style duration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises `click.BadParameter` where it is none."""
        try:
            return value if isinstance(value, float) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
@click.version_option(package_name="oarlock")
def main() -> None:
    """Reconcile Argo-style workflows in memory, with plugins that are called over HTTP."""


main.add_command(check)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="WF.yaml...")
@click.option("--config", type=click.Path(path_type=Path), help="The plugins to call; without it there are none.")
@click.option("--executor", type=click.Choice(["simulated", "pending"]), default="simulated", show_default=True,
              help="simulated: leaves end as --outcomes says; pending: they run for ever.")  # fmt: skip
@click.option("--outcomes", type=click.Path(path_type=Path), help="How leaves end; what is not named succeeds.")
@click.option("--timeout", type=Duration(), help="Give up after this long, in simulated time; never, without it.")
@click.option("--output", type=click.Choice(["summary", "json", "yaml"]), default="summary", show_default=True,
              help="What to write to standard output.")  # fmt: skip
@click.option("--stats", is_flag=True, help="Write the counters of the engine and its plugins to standard error.")
@click.option("--verbose", is_flag=True, help="Log what the engine does, too.")
def run(
    files: tuple[Path, ...],
    config: Path | None,
    executor: str,
    outcomes: Path | None,
    timeout: float | None,
    output: str,
    stats: bool,
    verbose: bool,
) -> None:
    """Reconcile the workflows in WF.yaml... to their end.

    WorkflowTemplates and ConfigMaps that they refer to are given as further files. Time is simulated: suspends,
    deadlines and durations take no time, and --timeout counts them all the same. SIGTERM and Ctrl-C let the passes
    under way end; a second one does not.

    Exit code 0: all Succeeded. 1: some Failed or Error. 2: bad input. 3: not finished.
    """
    configure_logs("info" if verbose or config else "warning")
    try:
        manifests = load(files)
        workflows = _workflows(files, manifests)
        leaves: Executor = PendingExecutor()
        if executor == "simulated":
            leaves = SimulatedExecutor(Outcomes.load(outcomes) if outcomes is not None else None)
        elif outcomes is not None:
            raise BadInput("--outcomes: only the simulated executor has any")
        registry = Registry(config) if config is not None else None
    except (ManifestError, ConfigError) as error:
        raise BadInput(str(error)) from None
    engine = Engine(
        registry,
        executor=leaves,
        workflow_templates={name: each.document for name, each in manifests.workflow_templates.items()},
        cluster_workflow_templates={name: each.document for name, each in manifests.cluster_workflow_templates.items()},
        config_maps={name: each.document for name, each in manifests.config_maps.items()},
    )
    uvloop.run(_run(engine, workflows, timeout, config, stats=stats))
    _write(workflows, output)
    unfinished = [workflow for workflow in workflows if not workflow.finished]
    for workflow in unfinished:
        click.echo(f"{workflow.key} is not finished: {engine.waiting_for(workflow)}", err=True)
    if unfinished:
        sys.exit(UNFINISHED)
    if any(workflow.phase != "Succeeded" for workflow in workflows):
        sys.exit(FAILED)


def _workflows(files: tuple[Path, ...], manifests: Manifests) -> list[Workflow]:
    for template in (*manifests.workflow_templates.values(), *manifests.cluster_workflow_templates.values()):
        try:
            check_shape(template.document)
        except WrongType as error:
            raise ManifestError(f"{template}: {error}") from error
    workflows: dict[str, Workflow] = {}
    for manifest in manifests.workflows:
        try:
            workflow = Workflow(manifest.document)
        except InvalidWorkflow as error:
            raise ManifestError(f"{manifest}: {error}") from error
        if workflow.key in workflows:
            raise ManifestError(f"{manifest}: metadata.name: there are two workflows {workflow.key!r}")
        workflows[workflow.key] = workflow
    if not workflows:
        raise ManifestError(f"{', '.join(map(str, files))}: expected a manifest of kind Workflow, found none")
    return list(workflows.values())


async def _run(
    engine: Engine, workflows: list[Workflow], timeout: float | None, config: Path | None, *, stats: bool
) -> None:
    async with engine:
        if engine.registry is not None:
            problem = await find_unreachable(engine.registry.config)
            if problem is not None:
                raise BadInput(f"{config}: {problem}")
        with _progress(engine, len(workflows)), draining(engine):
            await engine.run(workflows, timeout=timeout)
        if stats:
            show_statistics(engine, Console(stderr=True))


@contextlib.contextmanager
def _progress(engine: Engine, total: int) -> Iterator[None]:
    """A bar on standard error while it is a terminal; nothing otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    progress = Progress(SpinnerColumn(), _Counts(engine, total), TimeElapsedColumn(), console=console, transient=True)
    with progress:
        progress.add_task("", total=None)
        yield


class _Counts(ProgressColumn):
    """Read from the engine whenever the display is refreshed, so that the engine need not know of it."""

    def __init__(self, engine: Engine, total: int) -> None:
        super().__init__()
        self._engine = engine
        self._total = total

    def render(self, task: Task) -> Text:
        stats = self._engine.stats
        aborted = f", {stats.aborted:,} passes aborted" if stats.aborted else ""
        return Text(
            f"{stats.workflows_finished} of {self._total} workflows, {stats.nodes_visited:,} node visits{aborted}"
        )


def _write(workflows: list[Workflow], output: str) -> None:
    if output == "summary":
        summarize(workflows, Console())
        return
    if output == "json":
        documents = (
            orjson.Fragment(workflows[0].encode())
            if len(workflows) == 1
            else [orjson.Fragment(workflow.encode()) for workflow in workflows]
        )
        _print(orjson.dumps(documents) + b"\n")
        return
    _print(yaml.dump_all((workflow.to_dict() for workflow in workflows), sort_keys=False).encode())


def _print(content: bytes) -> None:
    """Write all of it to standard output, which where it is unbuffered (PYTHONUNBUFFERED) may take only a part."""
    output = sys.stdout.buffer
    if isinstance(output, io.RawIOBase):
        whole = io.BufferedWriter(output)
        whole.write(content)
        whole.detach()  # flushes it
    else:
        output.write(content)
        output.flush()
