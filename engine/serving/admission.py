"""Workflows that somebody wants to have: read, looked at as Argo's server does before it takes one in, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import msgspec
import orjson

from engine.manifests.fields import unknown_fields
from engine.model.large import is_large
from engine.model.naming import InvalidName, check_namespace
from engine.model.workflow import InvalidWorkflow, Workflow
from engine.serving.errors import ApiError, Code, invalid
from engine.serving.requests import Document
from engine.serving.selectors import check_annotations, check_labels
from engine.serving.texts import make_texts
from engine.shape import WrongType, explain
from engine.templates.catalog import Templates
from engine.templates.library import Library
from engine.templates.specification import InvalidSpec, UnknownTemplate, spec_in_force
from engine.validation import validate

_T = TypeVar("_T")

VERSION: Final = "argoproj.io/v1alpha1"
"""``apiVersion`` of all that is Argo's."""

_SERVERS: Final = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "managedFields", "deletionTimestamp"}
)
"""Metadata that is for the server to give."""


_Told = Annotated[str, msgspec.Meta(min_length=1)]


class OwnerReference(msgspec.Struct, rename="camel", omit_defaults=True):
    """Kubernetes', with what it may not be without."""

    api_version: _Told
    kind: _Told
    name: _Told
    uid: _Told
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    """Kubernetes' ObjectMeta, as far as it is not for the server to give."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    finalizers: list[str] | None = None
    owner_references: list[OwnerReference] | None = None


class _Named(msgspec.Struct):
    metadata: _Metadata | None = None


def check_path_namespace(namespace: str, *, all_will_do: bool = False) -> None:
    """The namespace that a request names; an empty one is all of them, where that is meant. Raises `ApiError`."""
    if all_will_do and not namespace:
        return
    try:
        check_namespace(namespace)
    except InvalidName as error:
        raise invalid(f"namespace: {error}") from None


def manifest_of(body: Any, field: str, namespace: str, kind: str = "Workflow") -> Document:
    """What a body has in `field`, of that kind and in that namespace, empty for what has none. Raises `ApiError`."""
    if body is None:
        raise invalid(f"{field} body not specified")
    try:
        given = msgspec.convert(body, _Named).metadata or _Metadata()
    except msgspec.ValidationError as error:
        raise invalid(f"{field}.{explain(str(error))}") from None
    check_labels(f"{field}.metadata.labels", given.labels or {})
    check_annotations(f"{field}.metadata.annotations", given.annotations or {})
    metadata = dict(body.get("metadata") or {})
    if namespace and metadata.get("namespace") not in (None, "", namespace):
        raise invalid(
            "the namespace of the provided object does not match the namespace sent on the request:"
            f" expected {namespace!r}, got {metadata['namespace']!r}"
        )
    if (body.get("kind") or kind) != kind:
        raise invalid(f"{field}.kind: expected {kind}, got {body['kind']!r}")
    if (body.get("apiVersion") or VERSION) != VERSION:
        raise invalid(f"{field}.apiVersion: expected {VERSION}, got {body['apiVersion']!r}")
    metadata.pop("namespace", None)
    metadata |= {"namespace": namespace} if namespace else {}
    return {**body, "apiVersion": VERSION, "kind": kind, "metadata": metadata}


def anew(document: Document) -> Document:
    """A document of which there is to be a new one: without the metadata that only a server gives."""
    metadata = {field: value for field, value in document["metadata"].items() if field not in _SERVERS}
    return {**document, "metadata": metadata}


async def admitted(document: Document, templates: Templates) -> Workflow:
    """A workflow that may begin. Raises `ApiError` with Argo's reason where it may not: what its lint refuses.

    Where the document is large the event loop goes on meanwhile; nobody may change it until then.
    """
    library = templates.library(document["metadata"]["namespace"])
    return await looked_at(document, partial(_admitted, document, library), large=library.large)


async def looked_at(document: Document, look: Callable[[], _T], *, large: bool = False) -> _T:
    """What `look` finds in a document, in which is text from then on what clients read as such (`make_texts`): in
    another thread where that, or what it refers to, is ``large``.

    Raises `ApiError` for what is no JSON.
    """

    def checked() -> _T:
        try:
            orjson.dumps(document)
        except TypeError as error:  # numbers of more than 64 bits, and what is very deep
            raise invalid(f"body: {error}") from None
        make_texts(document)
        return look()

    return await asyncio.to_thread(checked) if large or is_large(document) else checked()


def check_fields(document: Document) -> None:
    """Raise `ApiError` for a field that there is not, or of another shape, where Argo's server refuses it."""
    try:
        for unknown in unknown_fields(document, strict=False):
            if unknown.refused:
                raise invalid(str(unknown))
    except WrongType as error:
        raise invalid(str(error)) from None


def _admitted(document: Document, library: Library) -> Workflow:
    check_fields(document)
    try:
        workflow = Workflow(document)
        validate(workflow.document, library.local(spec_in_force(workflow.document, library)))
    except (InvalidWorkflow, InvalidSpec) as error:
        raise invalid(str(error)) from None
    except UnknownTemplate as error:
        raise ApiError(Code.NOT_FOUND, str(error)) from None
    return workflow
