"""What a leaf came to: exit codes and files as the result that the engine takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.executors.executor import Result
from engine.executors.local.artifacts import Artifacts
from engine.executors.local.configuration import CannotRun
from engine.executors.local.paths import Escape, Paths
from engine.executors.local.pods import INIT, MAIN, SIDECAR, Member
from engine.model.node import ERROR, FAILED, SUCCEEDED
from engine.shape import Document
from engine.templates.kinds import has_main, has_result

MAX_VALUE: Final = 256 * 1024
"""Bytes of a result, of which the last are kept, and of a parameter, which may not have more (CaptureScriptResult)."""

KILLED: Final = frozenset({137, 143})
"""The exit codes of a sidecar that was told to end."""


class Exit(msgspec.Struct, frozen=True):
    """How a container ended: its exit code, and why it was not started if it was not."""

    code: int
    why: str = ""

    @property
    def message(self) -> str:
        """As Argo says it (inferFailedReason in operator.go), what could not be started apart."""
        return self.why or f"Error (exit code {self.code})"


def read_exits(leaf: Path) -> dict[str, Exit] | None:
    """The ends of a leaf's containers by name, None while it has not ended."""
    try:
        lines = (leaf / "ended").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    parts = (line.split("\t", 2) for line in lines)
    return {name: Exit(int(code), why) for name, code, why in parts}


def collect(
    template: Document, containers: list[Member], exits: Mapping[str, Exit], leaf: Path, paths: Paths, files: Artifacts
) -> Result:
    """The result of a leaf that has ended; its artifacts are kept."""
    outputs = _outputs(template, exits, leaf, paths)
    phase, message = _verdict(containers, exits)
    try:
        saved = _save(template, paths, files, outputs, ended_well=phase == SUCCEEDED)
    except (CannotRun, Escape, OSError) as error:
        if phase == SUCCEEDED:
            phase, message = ERROR, str(error)
        saved = None
    if saved is not None:
        outputs["artifacts"] = saved
    own = None
    if template.get("containerSet") is not None:
        own = {each.name: _of(each, exits, leaf, paths) for each in containers if each.role == MAIN}
    return Result(phase, message, outputs or None, containers=own)


def _verdict(containers: list[Member], exits: Mapping[str, Exit]) -> tuple[str, str]:
    for role in (INIT, MAIN, SIDECAR):
        for each in (each for each in containers if each.role == role):
            found = exits.get(each.name)
            if found is None:
                if role == MAIN:
                    return FAILED, f"{each.name}: was stopped before it began"
            elif found.code and not (role == SIDECAR and found.code in KILLED):
                is_absent = bool(found.why) and not found.why.startswith("dependency")
                return ERROR if is_absent else FAILED, f"{each.name}: {found.message}"
    return SUCCEEDED, ""


def _outputs(template: Document, exits: Mapping[str, Exit], leaf: Path, paths: Paths) -> dict[str, Any]:
    if "main" not in exits or (template.get("containerSet") is not None and not has_main(template)):
        return {}
    outputs: dict[str, Any] = {"exitCode": str(exits["main"].code)}
    if has_result(template):
        outputs["result"] = read_result(leaf, paths)
    return outputs


def read_result(leaf: Path, paths: Paths) -> str:
    """What the main container wrote to its standard output, without the last line's end."""
    try:
        written = (leaf / "containers" / "main" / "stdout").read_bytes()
    except FileNotFoundError:
        return ""
    return paths.restore(written.removesuffix(b"\n")[-MAX_VALUE:].decode(errors="replace"))


def _of(container: Member, exits: Mapping[str, Exit], leaf: Path, paths: Paths) -> Result:
    """What became of one container of a set."""
    found = exits.get(container.name)
    if found is None:
        return Result(FAILED, "was stopped before it began")
    outputs = {"exitCode": str(found.code)}
    if container.name == "main":
        outputs["result"] = read_result(leaf, paths)
    if not found.code:
        return Result(SUCCEEDED, "", outputs)
    return Result(ERROR if found.why else FAILED, f"{container.name}: {found.message}", outputs)


def _save(
    template: Document, paths: Paths, files: Artifacts, outputs: dict[str, Any], *, ended_well: bool
) -> list[Document] | None:
    """Read the parameters and keep the artifacts of a leaf; what is missing of one that failed does not matter."""
    declared = template.get("outputs") or {}
    parameters = outputs.setdefault("parameters", [])
    for each in declared.get("parameters") or ():
        source = each.get("valueFrom") or {}
        if source.get("path"):
            value = _parameter(each["name"], source, paths, required=ended_well)
            if value is not None:
                parameters.append({"name": each["name"], "value": value})
    if not parameters:
        del outputs["parameters"]
    saved: list[Document] | None = [] if ended_well and declared.get("artifacts") else None
    for each in declared.get("artifacts") or ():
        try:
            report = files.save(each)
        except (CannotRun, OSError):
            if ended_well:
                raise
            continue
        if report is not None:
            saved = [*(saved or ()), report]
    return saved


def _parameter(name: str, source: Document, paths: Paths, *, required: bool) -> str | None:
    """The text in a file; None where there is none and the engine has a default. Raises `CannotRun` and `Escape`."""
    field, path = f"outputs.parameters.{name}", source["path"]
    place = paths.found(path)
    if not place.is_file():
        if source.get("default") is not None or not required:
            return None
        raise CannotRun(field, f"there is no file {path!r}, which is {str(paths.real(path))!r} here")
    with place.open("rb") as file:
        content = file.read(MAX_VALUE + 2)
    content = content.removesuffix(b"\n")
    if len(content) > MAX_VALUE:
        raise CannotRun(field, f"expected at most {MAX_VALUE >> 10} KiB in {path!r}")
    return paths.restore(content.decode(errors="replace"))
