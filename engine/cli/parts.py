"""What an engine is made of, as the options of a command name it: its plugins, and what runs leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

import click

from engine.cli.options import EngineOptions
from engine.engine import Engine
from engine.executors.executor import Executor
from engine.executors.outcomes import Outcomes
from engine.executors.simulated import PendingExecutor
from engine.reconciler import Reconciler
from engine.storage.store import Store
from engine.templates.catalog import Documents
from registry.cli import BadInput

UNFINISHED: Final = 3
"""The exit code where workflows are not finished."""


class Lost(click.ClickException):
    """What a command went on with is gone: what it was to do is not done."""

    exit_code = UNFINISHED


class Parts(TypedDict, total=False):
    """What an engine and a fleet are both made of."""

    executor: Executor
    workflow_templates: Documents
    cluster_workflow_templates: Documents
    config_maps: Documents
    clock: Callable[[], float]
    recorder: Recorder | None
    store: Store


def reconciler_of(options: EngineOptions, registry: Registry | None, **parts: Unpack[Parts]) -> Reconciler:
    """An engine, or the fleet that is asked for. Raises `BadInput`."""
    if options.shards is None:
        if options.ray is not None:
            raise BadInput("--ray: expected --shards as well: how many there are to be")
        return Engine(registry, **parts)
    from engine.cluster.fleet import Fleet  # and whoever needs no other processes does not wait for them

    over: Literal["processes", "ray"] = "processes" if options.ray is None else "ray"
    return Fleet(registry, shards=options.shards, over=over, address=options.ray, **parts)


def no_shards(options: EngineOptions, error: TransportError) -> str:
    """The line for what shards cannot be had, or not any more."""
    return f"{'--shards' if options.ray is None else '--ray'}: {error}"


if TYPE_CHECKING:
    from engine.cluster.transport import TransportError
    from engine.recording.recorder import Recorder
    from registry import Registry


def read_registry(config: Path | None) -> Registry | None:
    """The plugins of a configuration. Raises `ConfigError`."""
    if config is None:
        return None
    from registry import Registry  # without plugins there is no waiting for it

    return Registry(config)


def executor_of(options: EngineOptions, outcomes: Outcomes | None, simulated: Callable[[], Executor]) -> Executor:
    """The executor that is asked for; ``simulated`` makes the one of that name. Raises `BadInput`."""
    if outcomes is not None and options.executor != "simulated":
        raise BadInput("--outcomes: only the simulated executor has any")
    if options.executor == "local":
        from engine.cli.local import local_executor

        return local_executor(options.work_dir, options.parallel_leaves)
    for option, given in (("--work-dir", options.work_dir), ("--parallel-leaves", options.parallel_leaves)):
        if given is not None:
            raise BadInput(f"{option}: only the local executor has one")
    return PendingExecutor() if options.executor == "pending" else simulated()


def recorder_of(options: EngineOptions) -> Recorder | None:
    """Who writes down calls, where they are to be."""
    if options.record is None:
        return None
    from engine.recording.recorder import Recorder

    return Recorder(options.record)


@contextmanager
def recorded(engine: Reconciler) -> Iterator[None]:
    """Run an engine; a record that cannot be written, be it at the beginning or later, is a `BadInput`."""
    if engine.recorder is None:
        yield
        return
    from engine.recording.format import RecordError

    try:
        yield
    except RecordError as error:
        raise BadInput(f"--record: {error}") from None
    if engine.recorder.error:
        raise BadInput(f"--record: {engine.recorder.error}: what was to be recorded is not all there")
