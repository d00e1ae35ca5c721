"""From files to an exit code: load workflows, do something to them, reconcile them to their end, write them."""

from __future__ import annotations

import io
import re
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import uvloop
import yaml

from engine.cli import INTERRUPTED
from engine.cli.lacking import lacking
from engine.cli.options import Options
from engine.cli.outputs import hollow_when, made_up, read_outputs
from engine.cli.parts import UNFINISHED, executor_of, no_shards, read_registry, reconciler_of, recorded, recorder_of
from engine.cli.semaphores import absent_sizes
from engine.cli.unmatched import unmatched
from engine.cluster.transport import TransportError
from engine.executors.outcomes import Outcomes
from engine.executors.simulated import SimulatedExecutor
from engine.manifests import ManifestError, Manifests, UnknownFields, load, sources, workflow_from
from engine.model.clock import SimulatedClock
from engine.model.workflow import InvalidWorkflow, Workflow
from engine.operations import OperationError
from engine.reconciler import Reconciler
from engine.shape import WrongType, check_shape
from engine.signals import draining
from engine.substitution.variables import parse_time
from engine.templates.reads import Output, Reader
from registry.cli import BadInput
from registry.errors import ConfigError
from registry.logs import configure_logs
from registry.terminal import ESCAPES, console, tell

if TYPE_CHECKING:  # without plugins there is no waiting for it
    from registry import Registry

FAILED: Final = 1

MAX_WAYS: Final = 10
"""How many templates are listed where there is no workflow."""

_CONTROL: Final = re.compile(
    "|".join(chr(code) for code in ESCAPES if code >= 0x7F and not 0xD800 <= code < 0xE000).encode()
)
"""What orjson does not escape of what a terminal may act on; YAML is written in ASCII."""

_INVALID_WHEN: Final = "Invalid 'when' expression"

Operation = Callable[[Reconciler, Workflow], Awaitable[None]]


def reconcile(options: Options, operation: Operation, source: str | None = None) -> None:
    """Do something to each workflow, then reconcile them all and exit with the code that says how they ended.

    With a ``source``, as in ``workflowtemplate/NAME``, the one that is made from that is meant, and no other.

    Raises `BadInput`; then nothing was reconciled.
    """
    configure_logs("info" if options.verbose else "warning")
    try:
        manifests = load(options.files, strict=options.strict)
        workflows = read_workflows(options.files, manifests, source)
        outcomes = Outcomes.load(options.outcomes) if options.outcomes is not None else None
        registry = read_registry(options.config)
    except UnknownFields as error:
        raise BadInput(f"{error} (--no-strict lets them be)") from None
    except (ManifestError, ConfigError) as error:
        raise BadInput(str(error)) from None
    templates, cluster_templates = (
        {name: each.document for name, each in shelf.items()}
        for shelf in (manifests.workflow_templates, manifests.cluster_workflow_templates)
    )
    found = read_outputs(manifests)
    config_maps = {name: each.document for name, each in manifests.config_maps.items()}
    executor = executor_of(options, outcomes, lambda: simulated(outcomes, workflows, found))
    if isinstance(executor, SimulatedExecutor):
        config_maps |= (absent := absent_sizes(manifests))
        for name in absent:
            tell(f"warning: ConfigMap {name} is not given: its semaphores count as 1 in this simulation")
    engine = reconciler_of(
        options,
        registry,
        executor=executor,
        workflow_templates=templates,
        cluster_workflow_templates=cluster_templates,
        config_maps=config_maps,
        recorder=recorder_of(options),
    )
    with recorded(engine):
        try:
            interrupted = uvloop.run(_run(engine, registry, workflows, operation, options))
        except ConfigError as error:  # of a cluster
            raise BadInput(str(error)) from None
        except TransportError as error:
            raise BadInput(no_shards(options, error)) from None
        _write(workflows, options.output)
    if isinstance(executor, SimulatedExecutor):
        if options.output == "summary" and (line := made_up(executor, found)):
            tell(line)
        if any(_INVALID_WHEN in each.message for each in workflows) and (line := hollow_when(executor, found)):
            tell(line)
    if outcomes is not None:
        for complaint in unmatched(outcomes, workflows, manifests):
            tell(f"warning: {options.outcomes}: {complaint}")
    for workflow in workflows:
        if workflow.message.startswith("invalid spec"):
            for line in lacking(workflow, engine.templates.library(workflow.namespace)):
                tell(line)
    _exit(engine, workflows, interrupted)


def read_workflows(files: Sequence[Path], manifests: Manifests, source: str | None) -> list[Workflow]:
    """The workflows that are meant; their templates are well-formed, too. Raises `ManifestError`."""
    for template in manifests.templates:
        try:
            check_shape(template.document)
        except WrongType as error:
            raise ManifestError(f"{template}: {error}") from error
    workflows: dict[str, Workflow] = {}
    for manifest in [workflow_from(manifests, source)] if source is not None else manifests.workflows:
        try:
            workflow = Workflow(manifest.document)
        except InvalidWorkflow as error:
            raise ManifestError(f"{manifest}: {error}") from error
        if workflow.key in workflows:
            raise ManifestError(f"{manifest}: metadata.name: there are two workflows {workflow.key!r}")
        if any(workflow.uid == each.uid for each in workflows.values()):
            raise ManifestError(f"{manifest}: metadata.uid: there are two workflows with the uid {workflow.uid!r}")
        workflows[workflow.key] = workflow
    if not workflows:
        found, ways = "none", [f"--from {shlex.quote(each)}" for each in sources(manifests)]
        if ways:
            others = f"; or {', '.join(ways[1:MAX_WAYS])}" if len(ways) > 1 else ""
            command = f"oarlock run {shlex.join(map(str, files))} {ways[0]}"
            found = f"templates only ({len(ways)}): run one as in {command}{others}"
        raise ManifestError(f"{', '.join(map(str, files))}: expected a manifest of kind Workflow, found {found}")
    return list(workflows.values())


def simulated(
    outcomes: Outcomes | None,
    workflows: Sequence[Workflow],
    found: Mapping[Output, Sequence[Reader]],
    clock: SimulatedClock | None = None,
) -> SimulatedExecutor:
    """Simulated time goes on from the latest moment that a workflow knows of."""
    lists = {output for output, readers in found.items() if any(each.looped for each in readers)}
    executor = SimulatedExecutor(outcomes, clock, lists=lists)
    for workflow in workflows:
        status = workflow.document["status"]
        times = [status.get("startedAt"), status.get("finishedAt")]
        times += [time for node in workflow.nodes.values() for time in (node.started_at, node.finished_at)]
        for time in set(times):
            if time:
                executor.clock.jump(parse_time(time).timestamp())
    return executor


async def _run(
    engine: Reconciler,
    registry: Registry | None,
    workflows: list[Workflow],
    operation: Operation,
    options: Options,
) -> bool:
    """Whether there was a Ctrl-C."""
    async with engine, _leaves(engine, workflows, options):
        for workflow in workflows:
            try:
                await operation(engine, workflow)
            except OperationError as error:
                raise BadInput(str(error)) from None
        if registry is not None:
            from registry.checking import find_unreachable

            problem = await find_unreachable(registry.config)
            if problem is not None:
                raise BadInput(f"{options.config}: {problem}")
        with _progress(engine, len(workflows)), draining(engine) as received:
            try:
                await engine.run(workflows, timeout=options.timeout)
            except TransportError as error:  # there were some
                tell(no_shards(options, error))
        if options.stats:
            from engine.cli.summary import show_statistics

            await engine.look()
            show_statistics(engine, console(stderr=True))
    return signal.SIGINT in received


def _leaves(engine: Reconciler, workflows: Sequence[Workflow], options: Options) -> AbstractAsyncContextManager[None]:
    if options.executor != "local":
        return nullcontext()
    from engine.cli.local import running_leaves

    return running_leaves(engine, workflows)


def _progress(engine: Reconciler, total: int) -> AbstractContextManager[None]:
    if not sys.stderr.isatty():
        return nullcontext()
    from engine.cli.progress import showing_progress

    return showing_progress(engine, total)


def _exit(engine: Reconciler, workflows: Sequence[Workflow], interrupted: bool) -> None:
    unfinished = [workflow for workflow in workflows if not workflow.finished]
    for workflow in unfinished:
        tell(f"{workflow.key} is not finished: {engine.waiting_for(workflow)}")
    if unfinished:
        sys.exit(INTERRUPTED if interrupted else UNFINISHED)
    if any(workflow.phase != "Succeeded" for workflow in workflows):
        sys.exit(FAILED)


def _write(workflows: list[Workflow], output: str) -> None:
    if output == "summary":
        from engine.cli.summary import summarize

        summarize(workflows, console())
        return
    if output == "json":
        documents = (
            orjson.Fragment(workflows[0].encode())
            if len(workflows) == 1
            else [orjson.Fragment(workflow.encode()) for workflow in workflows]
        )
        _print(_CONTROL.sub(_escaped, orjson.dumps(documents)) + b"\n")
        return
    _print(yaml.dump_all((workflow.to_dict() for workflow in workflows), sort_keys=False).encode())


def _escaped(match: re.Match[bytes]) -> bytes:
    """A control character in a JSON string as JSON can say it, too."""
    return f"\\u{ord(match[0].decode()):04x}".encode()


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
