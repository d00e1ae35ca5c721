"""The options that commands have in common, and what their values may be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from registry.cli import FileName
from rpc.durations import parse_duration


class Duration(click.ParamType[float]):
    """A Go-style duration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises `click.BadParameter` where it is none."""
        try:
            return value if isinstance(value, float) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Assignment(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``, as a pair."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Raises `click.BadParameter` where it is none."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"expected NAME=VALUE, got {value!r}", param, ctx)
        return name, text


_Value = TypeVar("_Value")


def text(ctx: click.Context, param: click.Parameter, value: _Value) -> _Value:
    """Refuse bytes that are no UTF-8, which Python has as half surrogates, and JSON cannot have at all."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise click.BadParameter("expected UTF-8, got bytes that are none", ctx, param) from None
    return value


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What every command that makes an engine is told; some of them make a fleet where they are told to."""

    files: tuple[Path, ...]
    config: Path | None
    executor: str
    work_dir: Path | None
    parallel_leaves: int | None
    outcomes: Path | None
    record: Path | None
    verbose: bool
    shards: int | None = None
    ray: str | None = None


@dataclass(frozen=True, kw_only=True)
class Options(EngineOptions):
    """What every command that reconciles is told."""

    timeout: float | None
    output: str
    stats: bool
    strict: bool


_Command = TypeVar("_Command", bound=Callable[..., Any])

config = click.option("--config", type=FileName(), help="The plugins to call; without it there are none.")
record = click.option(
    "--record",
    type=FileName(),
    metavar="FILE",
    help="Write down each call to a plugin, and what it changed; of a record that is there already it is the end.",
)
_FLEET: Final = (
    click.option("--shards", type=click.IntRange(min=1), metavar="N",
                 help="Reconcile in N processes beside this one, each with a share of the workflows."),
    click.option("--ray", metavar="ADDRESS", callback=text,
                 help="Have those on the machines of the Ray cluster at ADDRESS, HOST:PORT or auto."),
)  # fmt: skip


def fleet(command: _Command) -> _Command:
    """Give a command the options that say where workflows are reconciled."""
    for option in reversed(_FLEET):
        command = option(command)
    return command


verbose = click.option("--verbose", is_flag=True, help="Log what the engine does, too.")

_LEAVES: Final = (
    click.option("--executor", type=click.Choice(["simulated", "local", "pending"]), default="simulated",
                 show_default=True, help="simulated: leaves end as --outcomes says; local: they are processes of this "
                 "machine, which is no sandbox; pending: they run for ever."),
    click.option("--work-dir", type=FileName(), help="Where the local executor keeps files and logs; "
                 "without it ~/.local/state/oarlock/runs."),
    click.option("--parallel-leaves", type=click.IntRange(min=1), metavar="N",
                 help="How many leaves the local executor runs at a time; four for each CPU without it."),
    click.option("--outcomes", type=FileName(), help="How leaves end; what is not named succeeds."),
)  # fmt: skip


def leaves(command: _Command) -> _Command:
    """Give a command the options that say how leaves are run."""
    for option in reversed(_LEAVES):
        command = option(command)
    return command


_OPTIONS: Final = (
    click.argument("files", nargs=-1, required=True, type=FileName(), metavar="WF.yaml..."),
    config,
    leaves,
    click.option("--timeout", type=Duration(), help="Give up after this long, in simulated time where leaves are; "
                 "never, without it."),
    click.option("--output", "-o", type=click.Choice(["summary", "json", "yaml"]), default="summary",
                 show_default=True, help="What to write to standard output."),
    click.option("--stats", is_flag=True, help="Write the counters of the engine and its plugins to standard error."),
    click.option("--strict/--no-strict", default=True, show_default=True,
                 help="Whether fields that Argo does not know are refused; --no-strict warns of them."),
    record,
    verbose,
)  # fmt: skip


def reconciling(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options above; it gets them as one `Options`, and its own besides."""

    @functools.wraps(function)
    def command(**given: Any) -> None:
        common = {each.name: given.pop(each.name) for each in fields(Options) if each.name in given}
        function(Options(**common), **given)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


node_field_selector = click.option(
    "--node-field-selector",
    default="",
    metavar="FIELD=VALUE[,...]",
    help="The nodes that are meant, as in displayName=approve or inputs.parameters.NAME.value=VALUE.",
)

parameter = click.option(
    "--parameter",
    "-p",
    "parameters",
    multiple=True,
    type=Assignment(),
    callback=text,
    help="A value for one of the workflow's arguments, over what its spec says.",
)


def read_parameters(file: Path | None) -> dict[str, str]:
    """The names and values in a YAML or JSON file of parameters, lists and maps as JSON. Raises `ManifestError`."""
    if file is None:
        return {}
    import orjson

    from engine.manifests import load_mapping
    from engine.substitution.variables import text_of

    return {
        name: text_of(value) if isinstance(value, str | int | float) else orjson.dumps(value).decode()
        for name, value in load_mapping(file).items()
    }
