"""One leaf on disk: laid out before it begins, and read when it has ended. All of it blocks, and goes to a thread."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import shutil
from pathlib import Path

import msgspec
import orjson

from engine.executors.executor import Result
from engine.executors.local import lifeline
from engine.executors.local.artifacts import Artifacts
from engine.executors.local.configuration import ConfigMaps, Environment
from engine.executors.local.folders import Runs
from engine.executors.local.paths import Paths, own_paths
from engine.executors.local.pods import MAIN, Staging, declared, members
from engine.executors.local.readiness import check_probe
from engine.executors.local.results import MAX_VALUE, collect, read_exits
from engine.executors.local.shapes import Inputs, Spec, Template, checked
from engine.executors.local.supervising import replace
from engine.executors.local.volumes import Volumes
from engine.model.node import ERROR, SUCCEEDED, Node
from engine.model.workflow import Workflow
from engine.shape import Document


class Limits(msgspec.Struct, frozen=True):
    """``grace`` seconds between SIGTERM and SIGKILL, the bytes that are kept of a container's log, and the folder that
    PATH ends with."""

    grace: float
    log_bytes: int
    tools: Path


class _Layout(msgspec.Struct, frozen=True):
    """What has to be known of a leaf's paths when it has ended."""

    mounts: dict[str, str]
    own: list[str]
    above: list[str]


class Leaf:
    """One leaf of one workflow. ``folder`` is where it is once it has begun, ``waits`` says that its turn is to come,
    ``supervisor`` is the process of its supervisor where that is a child of this one, ``task`` what sees to it."""

    def __init__(self, runs: Runs, workflow: Workflow, template: Document, node: Node) -> None:
        """Raises `CannotRun` for a template that cannot be run, `ValueError` for a uid that cannot name a folder."""
        self.workflow, self.node_id = workflow, node.id
        self.uid = workflow.uid
        self.folder: Path | None = None
        self.waits, self.stopped = True, False
        self.supervisor: int | None = None
        self.task: asyncio.Task[None] | None = None
        self._runs, self._template, self._node = runs, template, node
        checked(template, Template)
        self.containers = members(template)
        self.main = next(each for each in self.containers if each.role == MAIN).document
        self.probe = check_probe(self.main) if self.is_daemon else None
        runs.leaf(self.uid, self.node_id)

    @property
    def is_daemon(self) -> bool:
        """Whether it is done, for its successors, once it is up."""
        return bool(self._template.get("daemon"))

    def begin(self, maps: ConfigMaps, limits: Limits) -> None:
        """Lay out its folder and start its supervisor, unless it is stopped meanwhile.

        Raises `ValueError` and `OSError` where it cannot be begun.
        """
        folder = self._runs.begin(self.uid, self.node_id)
        inputs = orjson.loads(bytes(self._node.inputs)) if self._node.inputs else {}
        checked({"inputs": inputs}, Inputs)
        artifacts = inputs.get("artifacts") or []
        document = self.workflow.document
        spec = {**(document["status"].get("storedWorkflowTemplateSpec") or {}), **document["spec"]}
        checked(spec, Spec)
        volumes = Volumes(self._template, spec, maps, folder, self._runs.run(self.uid))
        mounts = volumes.mounts(each.document for each in self.containers)
        own, above = own_paths([*declared(self._template, artifacts, self.containers), *mounts])
        layout = _Layout(mounts, own, above)
        paths = self._paths(folder, layout)
        paths.root.mkdir()
        self._make_room(paths)
        for artifact in artifacts:
            self._artifacts(paths).place(artifact)
        staging = Staging(paths, self._environment(maps), folder, limits.tools, self.node_id)
        supervised = {
            "containers": [msgspec.to_builtins(staging.stage(each)) for each in self.containers],
            "grace": limits.grace,
            "log_bytes": limits.log_bytes,
            "result_bytes": MAX_VALUE,
        }
        replace(str(folder / "layout.json"), msgspec.json.encode(layout))
        replace(str(folder / "supervised"), marshal.dumps(supervised, 2))
        self.folder = folder
        if not self.stopped:
            self.supervisor = lifeline.start(folder)
        if self.stopped:
            self.stop()

    def stop(self) -> None:
        """Have it end; it is not to be gone on with, by whoever finds it."""
        self.stopped = True
        if self.folder is not None:
            mark_stopped(self.folder)

    def result(self) -> Result:
        """What it came to, now that its supervisor has ended. Raises `OSError`."""
        assert self.folder is not None
        why = lifeline.reap(self.supervisor) if self.supervisor is not None else ""
        kept = self.folder / "result.json"
        if kept.exists():
            return msgspec.json.decode(kept.read_bytes(), type=Result)
        exits = read_exits(self.folder)
        if exits is None:
            lifeline.kill_orphans(self.folder / "root")
            cause = f"could not be gone on with ({why})" if why else "were ended from outside"
            return Result(ERROR, f"its processes {cause}, and left no exit code behind")
        layout = msgspec.json.decode((self.folder / "layout.json").read_bytes(), type=_Layout)
        paths = self._paths(self.folder, layout)
        result = collect(self._template, self.containers, exits, self.folder, paths, self._artifacts(paths))
        replace(str(kept), msgspec.json.encode(result))
        if result.phase == SUCCEEDED:
            remove(paths.root)
        return result

    @staticmethod
    def _paths(folder: Path, layout: _Layout) -> Paths:
        return Paths(folder / "root", layout.mounts, layout.own, layout.above)

    def _artifacts(self, paths: Paths) -> Artifacts:
        return Artifacts(self._runs, self.uid, self.node_id, paths)

    def _make_room(self, paths: Paths) -> None:
        """The folders in which outputs are to be written are there, as in a container where Argo mounts them."""
        outputs = self._template.get("outputs") or {}
        sources = [each.get("valueFrom") or {} for each in outputs.get("parameters") or ()]
        for each in (*sources, *(outputs.get("artifacts") or ())):
            if each.get("path"):
                place = paths.real(each["path"])
                paths.confined(place, each["path"])
                place.parent.mkdir(parents=True, exist_ok=True)

    def _environment(self, maps: ConfigMaps) -> Environment:
        metadata = self.workflow.document["metadata"]
        fields = {
            "metadata.name": self.node_id,
            "metadata.namespace": self.workflow.namespace,
            "metadata.uid": f"{self.uid}/{self.node_id}",
            "metadata.labels['workflows.argoproj.io/workflow']": str(metadata["name"]),
            "metadata.annotations['workflows.argoproj.io/node-id']": self.node_id,
            "metadata.annotations['workflows.argoproj.io/node-name']": self._node.name,
        }
        return Environment(maps, fields)


def mark_stopped(folder: Path) -> None:
    """Have a leaf end that was begun, by whomever, and be begun anew by whoever is to start it."""
    with contextlib.suppress(OSError):  # where the disk is full it is to end all the same
        (folder / "stopped").touch()
    lifeline.stop(folder)


def may_go_on(folder: Path) -> bool:
    """Whether the leaf was begun, be it over or not, and not stopped."""
    return not (folder / "stopped").exists() and (lifeline.is_alive(folder) or (folder / "began").exists())


def alive_in(run: Path) -> list[Path]:
    """The leaves of a workflow that have a supervisor."""
    return [each for each in run.glob("leaves/*/*") if lifeline.is_alive(each)]


def has_started(folder: Path | None) -> bool:
    """Whether a process of the leaf was started."""
    return folder is not None and (folder / "started").exists()


def remove(folder: Path) -> bool:
    """Remove a folder with all that is in it, also what its owner may not write; whether nothing is left, such as what
    is another user's."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            if not os.path.islink(os.path.join(place, name)):
                with contextlib.suppress(OSError):  # another user's, or gone by now
                    os.chmod(os.path.join(place, name), 0o700)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
