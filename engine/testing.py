"""Tests of plugins: a workflow is run in simulated time, and what each plugin was asked is there afterwards.

This is what the fixture ``oarlock`` gives; ``docs/testing.md`` shows it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import msgspec
import orjson
import uvloop

from engine.cli.outputs import read_outputs
from engine.cli.running import read_workflows, simulated
from engine.cli.semaphores import absent_sizes
from engine.engine import Engine
from engine.executors.outcomes import Outcomes
from engine.manifests import ManifestError, Manifests, load, parse
from engine.model.clock import SimulatedClock
from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.recording.format import Called
from engine.recording.reading import Record
from engine.recording.recorder import Recorder
from engine.recording.secrets import Secrets
from registry import Config, ConfigError, EngineSettings, PluginConfig, Registry, Token
from registry.checking import find_unreachable
from registry.decoding import decode
from rpc import Outcome
from rpc.logs import get_logger
from rpc.plugin import Call, Plugin

Place: TypeAlias = str | PathLike[str]
Manifest: TypeAlias = Place | Sequence[Place] | Mapping[str, Any]
"""Paths, the text of one or more documents, or a document."""

_log = get_logger(__name__)

PATIENCE: Final = "10s"
"""For how long a call is waited for: a test is not to fail since the machine is slow."""
DAY: Final = 24 * 60 * 60.0
_ALL: Final = 1 << 40
"""Bytes of a body that are kept."""


class PluginUnderTest:
    """A plugin with settings, as `Oarlock.plugin` gives it. ``calls`` are those of its last run."""

    def __init__(self, target: Plugin | str, settings: Mapping[str, Any]) -> None:
        self.target = target
        self.settings = dict(settings)
        self.calls: Sequence[Call] = ()

    @property
    def name(self) -> str:
        """As it is given, else that of an SDK plugin, or the address."""
        return str(self.settings.get("name") or (self.target.name if isinstance(self.target, Plugin) else self.target))

    @asynccontextmanager
    async def configured(self) -> AsyncIterator[PluginConfig]:
        """How to call it, while it is served. Raises `ConfigError`."""
        if not isinstance(self.target, Plugin):
            yield self._config(self.target)
            return
        async with self.target.serve() as address:
            config = self._config(address)
            if self.target.authorization is not None and config.token is None:
                token = Token(self.target.authorization.decode().removeprefix("Bearer "))
                config = msgspec.structs.replace(config, token=token)
            yield config

    def _config(self, address: str) -> PluginConfig:
        table = {"timeout": PATIENCE, **self.settings, "name": self.name, "address": address}
        return decode(table, PluginConfig, file=Path("oarlock.plugin"))

    def called(self, calls: Iterable[Call]) -> None:
        """Keep its own of these."""
        self.calls = [call for call in calls if call.plugin == self.name]
        if isinstance(self.target, Plugin):
            self.target.calls = self.calls


class Nodes(dict[str, Node]):
    """The nodes of a workflow by display name; those that share one are there by their whole names."""

    def __init__(self, workflow: Workflow) -> None:
        shown = Counter(node.display_name for node in workflow.nodes.values())
        for node in workflow.nodes.values():
            self[node.display_name if shown[node.display_name] == 1 else node.name] = node

    def __missing__(self, name: str) -> Node:
        raise KeyError(f"there is no node {name!r}, only {', '.join(sorted(self))}")


@dataclass(frozen=True)
class Result:
    """What became of a workflow.

    ``nodes`` are by display name. ``outputs`` are the values of the workflow's output parameters by name: those of its
    entrypoint, and the global ones. ``calls`` are those to all plugins, in order, but for methods that a plugin does
    not have. ``waiting_for`` is why it is not finished, empty where it is. ``workflow`` has all the rest.
    """

    workflow: Workflow
    calls: Sequence[Call]
    waiting_for: str

    @property
    def phase(self) -> str:
        """The workflow's phase."""
        return self.workflow.phase

    @property
    def message(self) -> str:
        """The workflow's message."""
        return self.workflow.message

    @cached_property
    def nodes(self) -> Nodes:
        """The workflow's nodes."""
        return Nodes(self.workflow)

    @property
    def outputs(self) -> dict[str, Any]:
        """The values of the workflow's output parameters."""
        root = next((node.outputs for node in self.workflow.nodes.values() if node.name == self.workflow.name), None)
        found = [root or {}, self.workflow.document["status"].get("outputs") or {}]
        return {each["name"]: each.get("value") for outputs in found for each in outputs.get("parameters") or ()}


class Oarlock:
    """Runs workflows with plugins under test, as the fixture ``oarlock``."""

    def __init__(self) -> None:
        # One loop for all runs of a test, so that what a plugin has of the last one is good in the next.
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def plugin(self, target: Plugin | str, **settings: Any) -> PluginUnderTest:
        """A plugin on the SDK, or an address, with ``settings`` as in ``plugins.toml`` (docs/configuration.md)."""
        return PluginUnderTest(target, settings)

    def run(
        self,
        manifest: Manifest,
        plugins: Sequence[PluginUnderTest | Plugin | str] = (),
        outcomes: Place | Mapping[str, Any] | None = None,
        *,
        timeout: float = DAY,
    ) -> Result:
        """Run a workflow to its end, as `oarlock run` does.

        ``manifest`` has one workflow, and what it refers to: a path or several, the text, or a document. ``plugins``
        are called in that order; those on the SDK are served for the time of the run. ``outcomes`` are those of
        ``--outcomes``, a path or what stands in it.

        Time is simulated: durations, suspends and deadlines take none, and neither does a plugin's ``requeue`` or the
        backoff of a pass that failed. ``timeout`` is in seconds of that time; a workflow that is not finished by then,
        or never will be, is returned as it is. Raises `ManifestError` and `ConfigError` for what cannot be run.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("an event loop is running: expected `await oarlock.run_async(...)` here")
        return self._runner.run(self.run_async(manifest, plugins, outcomes, timeout=timeout))

    async def run_async(
        self,
        manifest: Manifest,
        plugins: Sequence[PluginUnderTest | Plugin | str] = (),
        outcomes: Place | Mapping[str, Any] | None = None,
        *,
        timeout: float = DAY,
    ) -> Result:
        """As `run`, in the event loop that runs."""
        manifests = _load(manifest)
        (workflow, *others) = read_workflows([], manifests, None)
        if others:
            raise ManifestError(f"{manifests.workflows[1]}: expected one workflow, found {len(others) + 1}")
        tested = [each if isinstance(each, PluginUnderTest) else self.plugin(each) for each in plugins]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "calls.jsonl")
            recorder = Recorder(file, max_body=_ALL)
            recorder.secrets = _Shown()
            async with AsyncExitStack() as stack:
                configs = [await stack.enter_async_context(each.configured()) for each in tested]
                registry = await _registry(configs)
                clock = SimulatedClock(for_plugins=False)
                executor = simulated(_outcomes(outcomes), [workflow], read_outputs(manifests), clock)
                engine = Engine(
                    registry,
                    executor=executor,
                    workflow_templates=_documents(manifests.workflow_templates),
                    cluster_workflow_templates=_documents(manifests.cluster_workflow_templates),
                    config_maps=_documents(manifests.config_maps) | absent_sizes(manifests),
                    recorder=recorder,
                )
                await stack.enter_async_context(engine)
                await engine.run([workflow], timeout=timeout)
                waiting_for = "" if workflow.finished else engine.waiting_for(workflow)
            calls = _calls(file, workflow)
        for each in tested:
            each.called(calls)
        return Result(workflow, calls, waiting_for)


class _Shown(Secrets):
    """A test is shown all: it made the secrets up itself."""

    def found(self, document: bytes) -> bool:
        return False

    def strip(self, value: Any, secret: bool = False) -> Any:
        return value


def _load(manifest: Manifest) -> Manifests:
    match manifest:
        case Mapping():
            return parse(orjson.dumps(manifest), strict=True)
        case str() if "\n" in manifest or manifest.lstrip().startswith("{"):
            return parse(manifest, strict=True)
        case str() | PathLike():
            return load([Path(manifest)], strict=True)
        case _:
            return load([Path(each) for each in manifest], strict=True)


def _outcomes(outcomes: Place | Mapping[str, Any] | None) -> Outcomes | None:
    if outcomes is None:
        return None
    return Outcomes.read(outcomes) if isinstance(outcomes, Mapping) else Outcomes.load(Path(outcomes))


def _documents(shelf: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: each.document for name, each in shelf.items()}


async def _registry(plugins: Sequence[PluginConfig]) -> Registry:
    names = [each.name for each in plugins]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"plugin {twice}", "name", "expected a name of its own, another plugin of the run has it")
    config = Config(engine=EngineSettings(enabled=True), plugins=tuple(plugins))
    if (problem := await find_unreachable(config)) is not None:
        raise ConfigError("oarlock.run", "", problem)
    return Registry(config)


def _calls(file: Path, workflow: Workflow) -> list[Call]:
    with Record(file, complain=_log.warning) as record:
        called = [each for _, each in record.told(bool) if isinstance(each, Called)]
        made = [each for each in called if not each.known and each.outcome is not Outcome.UNSUPPORTED]
        return [_call(record, each, workflow) for each in sorted(made, key=_when)]


def _when(called: Called) -> tuple[int, float, int]:
    """By pass and time; calls of one batch in the order in which they stand there."""
    return called.number, called.at, int(called.request.partition("/")[2] or 0)


def _call(record: Record, called: Called, workflow: Workflow) -> Call:
    sent, node = record.sent(called.request), workflow.nodes.get(called.node.id) if called.node is not None else None
    reply: Any = None
    if called.reply:
        body = record.body(called.reply)
        reply = body.text if body is not None and body.json is msgspec.UNSET else body and body.json
    elif called.outcome is Outcome.ANSWERED:
        reply = {}
    return Call(
        plugin=called.plugin,
        method=called.method.value,
        node=node.display_name if node is not None else "",
        arguments=sent.arguments if sent is not None else {},
        reply=reply,
        outcome=called.outcome.value,
        error=called.error,
        changed=called.changed or called.would_change,
    )
