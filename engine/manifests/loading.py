"""Manifests: YAML and JSON files read into the documents that Kubernetes would see, within hard limits.

Scalars mean what they mean to sigs.k8s.io/yaml, which Argo reads manifests with: `yes` and `off` are booleans, dates
are strings. Unknown fields and the order of keys are kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from engine.manifests.cron import one_run
from engine.manifests.fields import UnknownField, unknown_fields
from engine.model.naming import DEFAULT, told
from engine.shape import WrongType, kind_of
from registry.documents import BadDocument, read_json, read_yaml
from rpc.logs import get_logger
from rpc.statuses import in_one_line

Document = dict[str, Any]
Named = str | os.PathLike[str]

KINDS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "ConfigMap")

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes in a file: 400,000 tasks of a DAG, and some 700 MiB of documents."""

_log = get_logger(__name__)


STANDARD_INPUT: Final = Path("-")

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
"""What the names of those files of a folder end with that are read."""

MAX_TOLD: Final = 10
"""How many unknown fields of a document are told of."""


class ManifestError(ValueError):
    """A manifest that cannot be used; the message is one line that names file, document and place."""

    def __str__(self) -> str:
        return in_one_line(super().__str__())


class UnknownFields(ManifestError):
    """A manifest with fields that there are not, which `load` takes where it is not to be strict."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document, and where it came from: ``index`` counts the documents of a file from 1."""

    document: Document
    path: Path
    index: int

    @property
    def name(self) -> str:
        """The document's own name, or its `generateName`; empty where it has neither."""
        metadata = self.document.get("metadata") or {}
        return str(metadata.get("name") or metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """The namespace that the document is in, by default ``default``; empty for what has none."""
        metadata = self.document.get("metadata") or {}
        return "" if self.document["kind"] == "ClusterWorkflowTemplate" else str(metadata.get("namespace") or DEFAULT)

    @property
    def key(self) -> str:
        """What tells the document from all of its kind: ``NAME``, and ``NAMESPACE/NAME`` outside of ``default``."""
        return told(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{_named(self.path)}, document {self.index}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that was in some files. Templates and ConfigMaps are by ``NAME``, or ``NAMESPACE/NAME`` where that is
    not ``default``; of two of one name in one namespace the later counts."""

    workflows: list[Manifest] = field(default_factory=list)
    workflow_templates: dict[str, Manifest] = field(default_factory=dict)
    cluster_workflow_templates: dict[str, Manifest] = field(default_factory=dict)
    config_maps: dict[str, Manifest] = field(default_factory=dict)
    cron_workflows: dict[str, Manifest] = field(default_factory=dict)
    """As they are written; what they make is among the workflows."""

    @property
    def templates(self) -> list[Manifest]:
        """Those of namespaces, and then those of the cluster."""
        return [*self.workflow_templates.values(), *self.cluster_workflow_templates.values()]


def load(paths: Named | Iterable[Named], *, strict: bool | None = None) -> Manifests:
    """Reads all documents of a file or several, of standard input for the path ``-``, and of all that is in a folder.

    Of a folder those files are read that are named as YAML or JSON, in the order of their names and those of folders in
    it, and what in them is no Kubernetes object is passed over; what is hidden is not looked at.

    A `List` counts as its items, and a CronWorkflow as the Workflow that it makes; kinds that workflows do not need are
    skipped with a log line. Raises `ManifestError` for a file that is missing, empty, too large or malformed, and for a
    document that is no Kubernetes object.

    Where it is ``strict``, fields that `argo submit` would refuse raise `UnknownFields`, which is one; where it is not,
    they are warned of. By default nobody looks, and they are kept, as Argo's controller does with what it is given;
    `Workflow` does the same.
    """
    manifests = Manifests()
    for path in map(Path, [paths] if isinstance(paths, str | os.PathLike) else paths):
        found = 0
        for file in _files(path):
            found += _collect(_unfold(_read(file), file, among_others=file is not path), manifests, strict)
        if not found:
            nothing = "Is a directory with no manifest in it" if path.is_dir() else "expected a manifest, found nothing"
            raise ManifestError(f"{_named(path)}: {nothing}")
    return manifests


def parse(data: bytes | str, *, named: str = "manifest", strict: bool | None = None) -> Manifests:
    """As `load`, of YAML or JSON that is here already, such as the body of a request; errors call it ``named``.

    A large one takes its time: it may be parsed in another thread.
    """
    content = data.encode() if isinstance(data, str) else data
    path, manifests = Path(named), Manifests()
    if not _collect(_unfold(_parsed(content, named, _guessed), path), manifests, strict):
        raise ManifestError(f"{named}: expected a manifest, found nothing")
    return manifests


def _collect(found: Iterable[Manifest], manifests: Manifests, strict: bool | None) -> int:
    """File them; how many there were."""
    count = 0
    for manifest in found:
        count += 1
        if strict is not None:
            _check_fields(manifest, strict)
        _file(manifest, manifests)
    return count


def load_mapping(path: Path) -> dict[str, Any]:
    """The one mapping in a YAML or JSON file that is no manifest, read as strictly; raises `ManifestError`."""
    documents = [document for _, document in _read(path)]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        found = kind_of(documents[0]) if len(documents) == 1 else f"{len(documents)} documents"
        raise ManifestError(f"{path}: expected one mapping, found {found}")
    return documents[0]


def _check_fields(manifest: Manifest, strict: bool) -> None:
    refused, dropped = list[UnknownField](), list[UnknownField]()
    try:
        for unknown in unknown_fields(manifest.document, strict=strict):
            (refused if unknown.refused else dropped).append(unknown)
    except WrongType as error:
        raise ManifestError(f"{manifest}: {error}") from None
    for unknown in dropped[:MAX_TOLD]:
        _log.warning("unknown field", place=f"{manifest}: {unknown.place}", perhaps=unknown.guess)
    if len(dropped) > MAX_TOLD:
        _log.warning("more unknown fields", place=str(manifest), count=len(dropped) - MAX_TOLD)
    if refused:
        more = f"; and {len(refused) - MAX_TOLD} more" if len(refused) > MAX_TOLD else ""
        raise UnknownFields(f"{manifest}: {'; '.join(map(str, refused[:MAX_TOLD]))}{more}")


def _file(manifest: Manifest, manifests: Manifests) -> None:
    shelves = {
        "WorkflowTemplate": manifests.workflow_templates,
        "ClusterWorkflowTemplate": manifests.cluster_workflow_templates,
        "ConfigMap": manifests.config_maps,
    }
    kind = manifest.document["kind"]
    run = one_run(manifest.document) if kind == "CronWorkflow" else None
    if kind == "CronWorkflow":
        manifests.cron_workflows[manifest.key] = manifest
    if kind == "Workflow":
        manifests.workflows.append(manifest)
    elif run is not None:
        manifests.workflows.append(replace(manifest, document=run))
    elif kind in shelves:
        if not manifest.name:
            raise ManifestError(f"{manifest}: expected metadata.name or generateName, a {kind} is known by it")
        for field, value in (("name", manifest.name), ("namespace", manifest.namespace)):
            if "/" in value:
                raise ManifestError(f"{manifest}: metadata.{field}: expected no '/' in it, got {value[:80]!r}")
        shelves[kind][manifest.key] = manifest
    else:
        _log.info("skipping manifest", path=str(manifest.path), document=manifest.index, kind=kind)


def _files(path: Path) -> Iterator[Path]:
    """The path itself, or what is below it if it is a folder."""
    if not path.is_dir():
        yield path
        return

    def fail(error: OSError) -> None:
        raise ManifestError(f"{error.filename}: {error.strerror}") from error

    for folder, folders, files in os.walk(path, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix in SUFFIXES and not name.startswith("."):
                yield Path(folder, name)


def _unfold(documents: Iterable[tuple[int, Any]], path: Path, *, among_others: bool = False) -> Iterator[Manifest]:
    for index, document in documents:
        where = f"{_named(path)}, document {index}"
        if among_others and not (isinstance(document, dict) and "kind" in document):
            _log.info("skipping what is no manifest", path=str(path), document=index)
            continue
        for item, place in _items(document, where):
            _check(item, place)
            yield Manifest(item, path, index)


def _items(document: Any, where: str) -> Iterator[tuple[Any, str]]:
    """The objects in a document: itself, the items of a `List`, or those of a list as `--output json` writes it."""
    if isinstance(document, list) and all(isinstance(item, dict) for item in document):
        items: Any = document
    elif isinstance(document, dict) and document.get("kind") == "List":
        items = document.get("items") or []
    else:
        yield document, where
        return
    if not isinstance(items, list):
        raise ManifestError(f"{where}: expected items to be a list, found {kind_of(items)}")
    for number, item in enumerate(items, 1):
        yield item, f"{where}, item {number}"


def _check(document: Any, where: str) -> None:
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: expected a mapping, found {kind_of(document)}")
    kind = document.get("kind")
    if not isinstance(kind, str) or not kind:
        raise ManifestError(f"{where}: expected a kind, such as {', '.join(KINDS)}")
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise ManifestError(f"{where}: expected metadata to be a mapping, found {kind_of(metadata)}")


def _named(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _read(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        if path == STANDARD_INPUT:
            data = _standard_input()
        else:
            with path.open("rb") as file:
                # Not by what stat says: the path may be a pipe.
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{_named(path)}: {error.strerror or error}") from error
    syntax = _guessed if path == STANDARD_INPUT else read_json if path.suffix == ".json" else read_yaml
    return _parsed(data, _named(path), syntax)


def _parsed(data: bytes, name: str, syntax: Callable[[bytes, str], Iterable[Any]]) -> Iterator[tuple[int, Any]]:
    """The documents that hold anything, numbered from 1."""
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{name}: expected at most {MAX_BYTES >> 20} MiB")
    try:
        for index, document in enumerate(syntax(data, name), 1):
            if document is not None:
                yield index, document
    except BadDocument as error:
        place = f":{error.line}:{error.column}" if error.line else ""
        raise ManifestError(f"{name}{place}: {error}") from error


def _standard_input() -> bytes:
    """All of it, line by line: a signal that comes in between is heard."""
    data = bytearray()
    while sys.stdin is not None and len(data) <= MAX_BYTES and (line := sys.stdin.buffer.readline(MAX_BYTES)):
        data += line
    return bytes(data)


def _guessed(data: bytes, name: str) -> Iterator[Any]:
    """What has no name to tell is JSON if it can be, which is no YAML where it has tabs or surrogates in it."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        with contextlib.suppress(BadDocument):
            return iter([*read_json(data, name)])
    return read_yaml(data, name)
