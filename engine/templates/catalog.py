"""The templates and ConfigMaps that workflows may refer to, which may change while an engine runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from engine.model.encoding import UNENCODABLE, encode
from engine.model.large import is_large
from engine.model.naming import DEFAULT, InvalidName, check_name, check_namespace
from engine.shape import Document, WrongType, check_shape, kind_of
from engine.templates.library import NONE, Library

Documents = Mapping[str, Document] | Iterable[Document]
"""Documents of one kind: by ``NAME`` or ``NAMESPACE/NAME``, or one after the other, each by its own metadata."""

WORKFLOW_TEMPLATE: Final = "WorkflowTemplate"
CLUSTER_WORKFLOW_TEMPLATE: Final = "ClusterWorkflowTemplate"
CONFIG_MAP: Final = "ConfigMap"
KINDS: Final = (WORKFLOW_TEMPLATE, CLUSTER_WORKFLOW_TEMPLATE, CONFIG_MAP)


class InvalidDocument(ValueError):
    """A document that cannot be among the templates and ConfigMaps; the message is one line."""


class Change(NamedTuple):
    """What became of one document: ``document`` is None where it was removed, ``namespace`` empty where it has none."""

    kind: str
    namespace: str
    name: str
    document: Document | None


class Shelves(dict[tuple[str, str], Mapping[str, Document]]):
    """Documents by kind and namespace. A shelf is replaced when it changes: who has it has it as it was.

    Workflows that go on look here for what is to be read as it is at the moment; from here nothing leads to them.
    """

    def config_maps(self, namespace: str) -> Mapping[str, Document]:
        """The ConfigMaps of a namespace by name, as they are now."""
        return self.get((CONFIG_MAP, namespace), NONE)

    def namespaces_with(self, name: str) -> list[str]:
        """Where there is a WorkflowTemplate of that name."""
        return sorted(where for (kind, where), shelf in self.items() if kind == WORKFLOW_TEMPLATE and name in shelf)


class Templates:
    """WorkflowTemplates, ClusterWorkflowTemplates and ConfigMaps, by kind, namespace and name.

    A workflow that begins is given them as they are then, and goes on with those whatever is put or removed; what no
    unfinished workflow refers to is forgotten. Documents that were handed over are not to be changed any more. To be
    called from the event loop's thread.
    """

    def __init__(
        self,
        workflow_templates: Documents | None = None,
        cluster_workflow_templates: Documents | None = None,
        config_maps: Documents | None = None,
    ) -> None:
        """Raises `InvalidDocument` for a document without a name, in two namespaces at once, twice, or no JSON."""
        shelves: dict[tuple[str, str], dict[str, Document]] = {}
        for kind, documents in zip(KINDS, (workflow_templates, cluster_workflow_templates, config_maps), strict=True):
            for namespace, name, document in _read(kind, documents or ()):
                shelf = shelves.setdefault((kind, namespace), {})
                if name in shelf:
                    raise InvalidDocument(f"{_told(kind, namespace, name)}: it is given twice")
                shelf[name] = document
        self.shelves = Shelves(shelves)
        self._large = {
            (kind, where, name)
            for (kind, where), shelf in shelves.items()
            for name, document in shelf.items()
            if is_large(document)
        }
        self._libraries: dict[str, Library] = {}
        self.listeners: list[Callable[[Change], None]] = []
        """Whom to tell of each change, once it is made."""

    # Changes

    def put(self, document: Document, *, namespace: str | None = None) -> None:
        """Add a document, or replace the one of its kind, namespace and name; a copy of it is kept.

        It is in `namespace` where it names none itself, by default in ``default``. Raises `InvalidDocument` where it is
        of another kind, has no name, is malformed, or is in a namespace other than `namespace`.
        """
        if not isinstance(document, Mapping):
            raise InvalidDocument(f"expected a mapping, got {kind_of(document)}")
        kind = document.get("kind")
        if kind not in KINDS:
            raise InvalidDocument(f"kind: expected {' or '.join(KINDS)}, got {kind!r}")
        try:
            if kind != CONFIG_MAP:
                check_shape(document)
        except WrongType as error:
            raise InvalidDocument(f"{kind}: {error}") from None
        own, name = _place(kind, document)
        clustered = kind == CLUSTER_WORKFLOW_TEMPLATE
        if not clustered and namespace is not None and own not in (None, namespace):
            raise InvalidDocument(f"{kind} {name!r}: metadata.namespace: expected {namespace!r}, got {own!r}")
        where = "" if clustered else own or namespace or DEFAULT
        try:
            check_name(name)
            check_namespace(where or DEFAULT)
        except InvalidName as error:
            raise InvalidDocument(f"{kind} {name!r}: {error}") from None
        metadata = {**document["metadata"], "name": name} | ({"namespace": where} if where else {})
        _check_json(kind, name, document)
        self.put_checked(copy.deepcopy({**document, "metadata": metadata}))

    def put_checked(self, document: Document) -> None:
        """As `put`, of one that has passed its checks, has all its metadata and is never changed: it is kept itself."""
        kind, metadata = document["kind"], document["metadata"]
        where, name = "" if kind == CLUSTER_WORKFLOW_TEMPLATE else metadata["namespace"], metadata["name"]
        self._large.discard((kind, where, name))
        if is_large(document):
            self._large.add((kind, where, name))
        self._replace(kind, where, {**self._shelf(kind, where), name: document})
        self._tell(Change(kind, where, name, document))

    def remove(self, kind: str, name: str, *, namespace: str = DEFAULT) -> None:
        """Take a document away. Raises `LookupError` where there is none."""
        namespace = "" if kind == CLUSTER_WORKFLOW_TEMPLATE else namespace
        shelf = self._shelf(kind, namespace)
        if name not in shelf:
            raise LookupError(f"{_told(kind, namespace, name)} not found")
        self._large.discard((kind, namespace, name))
        self._replace(kind, namespace, {key: value for key, value in shelf.items() if key != name})
        self._tell(Change(kind, namespace, name, None))

    def _replace(self, kind: str, namespace: str, shelf: Mapping[str, Document]) -> None:
        if shelf:
            self.shelves[kind, namespace] = shelf
        else:
            del self.shelves[kind, namespace]
        if kind == WORKFLOW_TEMPLATE:
            self._libraries.pop(namespace, None)
        elif kind == CLUSTER_WORKFLOW_TEMPLATE:
            self._libraries.clear()

    def _tell(self, change: Change) -> None:
        for listener in list(self.listeners):
            listener(change)

    # What there is

    def get(self, kind: str, name: str, *, namespace: str = DEFAULT) -> Document | None:
        """One document, None where there is none."""
        return self._shelf(kind, "" if kind == CLUSTER_WORKFLOW_TEMPLATE else namespace).get(name)

    def documents(self, kind: str, *, namespace: str | None = None) -> list[Document]:
        """The documents of a kind, those of one namespace or of all, ordered by namespace and name."""
        shelves = sorted((where, shelf) for (each, where), shelf in self.shelves.items() if each == kind)
        wanted = [shelf for where, shelf in shelves if namespace is None or where in ("", namespace)]
        return [shelf[name] for shelf in wanted for name in sorted(shelf)]

    def _shelf(self, kind: str, namespace: str) -> Mapping[str, Document]:
        return self.shelves.get((kind, namespace), NONE)

    # What workflows are given

    def library(self, namespace: str) -> Library:
        """What a workflow of a namespace may refer to, as it is now: the same object until some of that changes."""
        place = namespace if (WORKFLOW_TEMPLATE, namespace) in self.shelves else ""
        library = self._libraries.get(place)
        if library is None:
            clustered = self._shelf(CLUSTER_WORKFLOW_TEMPLATE, "")
            seen = (WORKFLOW_TEMPLATE, place), (CLUSTER_WORKFLOW_TEMPLATE, "")
            large = any((kind, where) in seen for kind, where, _ in self._large)
            library = Library(
                self._shelf(WORKFLOW_TEMPLATE, place), clustered, elsewhere=self.shelves.namespaces_with, large=large
            )
            self._libraries[place] = library
        return library

    def config_maps(self, namespace: str) -> Mapping[str, Document]:
        """The ConfigMaps of a namespace by name, as they are now."""
        return self.shelves.config_maps(namespace)


def _read(kind: str, documents: Documents) -> Iterator[tuple[str, str, Document]]:
    """Namespace, name and document of each that an embedder gives."""
    keyed = documents.items() if isinstance(documents, Mapping) else (("", each) for each in documents)
    for key, document in keyed:
        where, name = _place(kind, document, key)
        given, slash, rest = key.rpartition("/")
        if slash and (not given or not rest or "/" in given or kind == CLUSTER_WORKFLOW_TEMPLATE):
            expected = "NAME" if kind == CLUSTER_WORKFLOW_TEMPLATE else "NAME or NAMESPACE/NAME"
            raise InvalidDocument(f"{kind} {key!r}: expected it to be named as {expected}")
        if slash and where not in (None, given):
            raise InvalidDocument(f"{kind} {key!r}: metadata.namespace: expected {given!r}, got {where!r}")
        _check_json(kind, rest or name, document)
        yield "" if kind == CLUSTER_WORKFLOW_TEMPLATE else where or given or DEFAULT, rest or name, document


def _check_json(kind: str, name: str, document: Document) -> None:
    """Workflows keep what they are given, in stores and in other processes."""
    try:
        encode(document)
    except UNENCODABLE as error:
        raise InvalidDocument(f"{kind} {name!r}: not a JSON document: {error}") from None


def _place(kind: str, document: Document, key: str = "") -> tuple[str | None, str]:
    """The namespace, if any, and the name that a document has by its metadata."""
    if not isinstance(document, Mapping):
        raise InvalidDocument(f"{kind}{f' {key!r}' if key else ''}: expected a mapping, got {kind_of(document)}")
    metadata = document.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, Mapping) else None
    if not key and (not isinstance(name, str) or not name):
        raise InvalidDocument(
            f"{kind}: metadata.name: expected a name, got {'nothing' if name is None else repr(name)}"
        )
    return namespace if isinstance(namespace, str) and namespace else None, str(name or "")


def _told(kind: str, namespace: str, name: str) -> str:
    """A document as Kubernetes names it where it is not found."""
    group = "" if kind == CONFIG_MAP else ".argoproj.io"
    return f'{kind.lower()}s{group} "{namespace}/{name}"' if namespace else f'{kind.lower()}s{group} "{name}"'
