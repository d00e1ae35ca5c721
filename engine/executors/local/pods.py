"""From a template to processes: what is run of it, with which arguments, environment and files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.executors.local.configuration import CannotRun, Environment, expand
from engine.executors.local.paths import Paths
from engine.shape import Document
from engine.substitution.variables import text_of

MAIN: Final = "main"
INIT: Final = "init"
SIDECAR: Final = "sidecar"

ELSEWHERE: Final = {
    "resource": "there is no cluster that it could be applied to",
    "data": "is not run by the local executor",
    "http": "is not run by the local executor",
}
"""Kinds of templates that are no processes."""

FOREIGN: Final = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
"""What of this user's environment says where to write."""

ROOT_VARIABLE: Final = "OARLOCK_ROOT"
"""The variable that says where a leaf's root is; what has it is one of the leaf's processes."""

HOME: Final = "/root"
TMP: Final = "/tmp"


class Container(msgspec.Struct):
    """One container of a leaf, in a form that the supervisor understands; see `engine.executors.local.supervising`."""

    name: str
    role: str
    dependencies: list[str]
    first_line: str
    argv: list[str]
    env: dict[str, str]
    cwd: str


class Member(msgspec.Struct, frozen=True):
    """A container as its template has it."""

    name: str
    role: str
    document: Document
    field: str
    source: str | None = None


def members(template: Document) -> list[Member]:
    """The containers of a template. Raises `CannotRun` for a kind, or a field of one, that cannot be run."""
    for kind, why in ELSEWHERE.items():
        if template.get(kind) is not None:
            raise CannotRun(kind, why)
    found = list(_members(template))
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1:
            raise CannotRun(f"{each.field}.name", f"expected another one, {each.name!r} is the name of two containers")
        if not each.document.get("command"):
            image = each.document.get("image") or ""
            raise CannotRun(
                f"{each.field}.command",
                f"the image is not used, so its entrypoint ({image!r}) is not known here: give the command",
            )
    if not any(each.role == MAIN for each in found):
        raise CannotRun("template", "expected a container, a script or a containerSet")
    return found


def _members(template: Document) -> Iterator[Member]:
    for each in template.get("initContainers") or ():
        yield Member(each["name"], INIT, each, f"initContainers.{each['name']}")
    if template.get("script") is not None:
        yield Member("main", MAIN, template["script"], "script", text_of(template["script"].get("source") or ""))
    elif template.get("container") is not None:
        yield Member("main", MAIN, template["container"], "container")
    group = template.get("containerSet") or {}
    if group.get("retryStrategy"):
        raise CannotRun(
            "containerSet.retryStrategy", "is not run by the local executor, the template's retryStrategy is"
        )
    for each in group.get("containers") or ():
        shared = [*(group.get("volumeMounts") or ()), *(each.get("volumeMounts") or ())]
        yield Member(each["name"], MAIN, {**each, "volumeMounts": shared}, f"containerSet.{each['name']}")
    for each in template.get("sidecars") or ():
        yield Member(each["name"], SIDECAR, each, f"sidecars.{each['name']}")


def declared(template: Document, artifacts: list[Document], containers: list[Member]) -> list[str]:
    """The paths that a template names as its own."""
    outputs = template.get("outputs") or {}
    sources = [each.get("valueFrom") or {} for each in outputs.get("parameters") or ()]
    found = [each.get("path") for each in (*sources, *(outputs.get("artifacts") or ()), *artifacts)]
    return [text_of(each) for each in (*found, *(each.document.get("workingDir") for each in containers)) if each]


class Staging:
    """Turns the containers of one leaf into processes; ``leaf`` is its folder, ``tools`` what PATH ends with."""

    def __init__(self, paths: Paths, environment: Environment, leaf: Path, tools: Path, node_id: str) -> None:
        self._paths, self._environment, self._leaf, self._node_id = paths, environment, leaf, node_id
        self._inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self._inherited["PATH"] = f"{os.environ.get('PATH') or os.defpath}:{tools}"

    def stage(self, member: Member) -> Container:
        """Write what the container needs, and say how it is started. Raises `CannotRun` and `OSError`."""
        document = member.document
        own = self._environment.of(document)
        command, arguments = (
            [self._paths.rewrite(expand(text_of(each), own)) for each in document.get(field) or ()]
            for field in ("command", "args")
        )
        if member.source is not None:
            script = self._leaf / "script"
            script.write_text(self._paths.rewrite(member.source))
            script.chmod(0o700)
            arguments.append(str(script))
        folder = self._paths.found(text_of(document.get("workingDir") or "/"))
        places = {"HOME": self._paths.found(HOME), "TMPDIR": self._paths.found(TMP)}
        for place in (folder, *places.values()):
            place.mkdir(parents=True, exist_ok=True)
        if any("\0" in each for each in (*command, *arguments, *own, *own.values())):
            raise CannotRun(member.field, "expected arguments and variables without NUL")
        if wrong := [name for name in own if not name or "=" in name]:
            raise CannotRun(f"{member.field}.env", f"expected names of variables, without '=', got {wrong[0]!r}")
        image = document.get("image") or ""
        return Container(
            name=member.name,
            role=member.role,
            dependencies=list(document.get("dependencies") or ()) if member.role == MAIN else [],
            first_line=f"[oarlock: a process of this machine, image {image!r} is not used]\n",
            argv=[*command, *arguments],
            env={
                **self._inherited,
                **{name: str(place) for name, place in places.items()},
                "ARGO_CONTAINER_NAME": member.name,
                "ARGO_NODE_ID": self._node_id,
                **{name: self._paths.rewrite(value) for name, value in own.items()},
                ROOT_VARIABLE: str(self._paths.root),
            },
            cwd=str(folder),
        )


def lay_out_tools(folder: Path) -> Path:
    """A folder with `python` and `python3`, which are the engine's own, for a machine whose PATH has none."""
    tools = folder / ".bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        # A script, since a link would not find the packages of a virtual environment.
        text, tool = f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n", tools / name
        if not tool.exists() or tool.read_text() != text:
            new = tools / f"{name}.{os.getpid()}"
            new.write_text(text)
            new.chmod(0o755)
            new.replace(tool)
    return tools
