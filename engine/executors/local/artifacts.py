"""Artifacts: files and folders that leaves take and leave, kept in their run as they are, in no archive.

Where one lies is told as a key, as of a bucket: `<workflow uid>/<node id>/<name>`, or the key that the template gives.
Whatever is copied is a file, a folder, or a link within what is copied that is relative: no other link is followed or
handed on, so that none leads a later leaf, or whoever downloads it, out of the run.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn

from engine.executors.local.configuration import CannotRun
from engine.executors.local.folders import Runs
from engine.executors.local.paths import Escape, Paths
from engine.shape import Document
from engine.substitution.variables import text_of

KEYS: Final = {"s3": "key", "gcs": "key", "oss": "key", "azure": "blob"}
"""Where artifacts may lie, and the field that is their key; buckets and credentials are of no matter here."""


class Artifacts:
    """The artifacts of one leaf."""

    def __init__(self, runs: Runs, uid: str, node_id: str, paths: Paths) -> None:
        self._runs, self._uid, self._node_id, self._paths = runs, uid, node_id, paths

    def place(self, artifact: Document) -> None:
        """Put an input where the container expects it.

        Raises `CannotRun` for one that cannot be had, and `Escape` for one that leads elsewhere.
        """
        field = f"inputs.artifacts.{artifact['name']}"
        if artifact.get("raw") is None and _location(artifact) is None:
            if artifact.get("optional"):
                return
            raise CannotRun(field, "is not there")
        path = artifact.get("path")
        if not path:
            raise CannotRun(field, "expected a path")
        target = self._paths.real(path)
        self._paths.confined(target, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if artifact.get("raw") is not None:
            target.write_text(text_of(artifact["raw"].get("data") or ""))
        else:
            key = _key(artifact, field)
            source = below(self.kept(key, field), artifact, field)
            if not os.path.lexists(source):
                if artifact.get("optional"):
                    return
                raise CannotRun(field, f"no leaf of this workflow has left an artifact {key!r}")
            _copy(source, target, field, shutil.copy2)
        _set_mode(target, artifact)

    def kept(self, key: str, field: str) -> Path:
        """Where the artifact of that key is kept. Raises `CannotRun`."""
        try:
            return self._runs.artifact(self._uid, key, others=True)
        except ValueError as error:
            raise CannotRun(field, str(error)) from None

    def save(self, artifact: Document) -> Document | None:
        """Keep an output; what is to be reported of it, None for an optional one that is not there.

        Raises `CannotRun` for one that is missing or cannot be kept, and `Escape` for one that is none of the leaf's.
        """
        field, path = f"outputs.artifacts.{artifact['name']}", artifact.get("path")
        if not path:
            raise CannotRun(field, "expected a path")
        source = self._paths.found(path)
        if not source.exists():
            if artifact.get("optional"):
                return None
            raise CannotRun(field, f"there is nothing at {path!r}, which is {str(self._paths.real(path))!r} here")
        is_located = _location(artifact) is not None
        key = _key(artifact, field) if is_located else f"{self._uid}/{self._node_id}/{artifact['name']}"
        try:
            target = self._runs.artifact(self._uid, key)
        except ValueError as error:
            raise CannotRun(field, str(error)) from None
        _remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        # What is in the leaf's root nobody writes any more, so that a second name for it does.
        _copy(source, target, field, _link if source.is_relative_to(self._paths.root) else shutil.copy2)
        return {"name": artifact["name"]} if is_located else {"name": artifact["name"], "s3": {"key": key}}


def file_of(runs: Runs, uid: str, artifact: Document) -> Path:
    """Where an artifact lies that a node has. Raises `ValueError` where none can."""
    field = str(artifact.get("name"))
    return below(runs.artifact(uid, _key(artifact, field), others=True), artifact, field)


def below(place: Path, artifact: Document, field: str) -> Path:
    """What is meant of the artifact there, with a `subPath` a part of it. Raises `Escape`."""
    part = place / str(artifact.get("subPath") or "").strip("/")
    if not part.resolve().is_relative_to(place.resolve()):
        raise Escape(f"{field}.subPath: {artifact['subPath']!r} leads out of the artifact")
    return part


def _location(artifact: Document) -> str | None:
    """The field that says where the artifact lies."""
    fields = (name for name, value in artifact.items() if isinstance(value, Mapping) and value)
    return next((name for name in fields if name not in ("archive", "artifactGC")), None)


def _key(artifact: Document, field: str) -> str:
    kind = _location(artifact) or ""
    if kind not in KEYS:
        raise CannotRun(f"{field}.{kind}", "is not run by the local executor")
    return str(artifact[kind].get(KEYS[kind]) or "")


def _copy(source: Path, target: Path, field: str, copy: Callable[[str, str], object]) -> None:
    """Raises `CannotRun` for what is neither a file nor a folder, and `Escape` for a link that leads out of it."""
    source = Path(os.path.realpath(source))
    if not source.is_dir():
        _check_file(source, field)
        copy(str(source), str(target))
        return
    target.mkdir(exist_ok=True)
    for folder, folders, files in os.walk(source, onerror=_raise):
        there = target / os.path.relpath(folder, source)
        for name in (*folders, *files):
            own = Path(folder, name)
            if own.is_symlink():
                link = os.readlink(own)
                if os.path.isabs(link) or not Path(os.path.realpath(own)).is_relative_to(source):
                    raise Escape(f"{field}: the link {str(own.relative_to(source))!r} leads out of it, to {link!r}")
                (there / name).symlink_to(link)
            elif name in folders:
                (there / name).mkdir(exist_ok=True)
            else:
                _check_file(own, field)
                copy(str(own), str(there / name))


def _link(source: str, target: str) -> None:
    """A second name for a file; a copy of one that is another user's, of which the kernel allows none."""
    try:
        os.link(source, target)
    except PermissionError:
        shutil.copy2(source, target)


def _raise(error: OSError) -> NoReturn:
    raise error


def _check_file(path: Path, field: str) -> None:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise CannotRun(field, f"expected files, folders and links, {path.name!r} is something else")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _set_mode(path: Path, artifact: Document) -> None:
    if artifact.get("mode") is None:
        return
    path.chmod(artifact["mode"])
    if artifact.get("recurseMode"):
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                if not Path(folder, name).is_symlink():
                    Path(folder, name).chmod(artifact["mode"])
