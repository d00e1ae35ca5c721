"""What of a template is read here, by type: Kubernetes refuses a pod of another shape, and so a leaf is an Error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from engine.executors.local.configuration import CannotRun
from engine.shape import explain

Text = str | None
Scalar = str | int | float | bool | None
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", max_length=63)]
"""Of a container: it names a folder."""
Path = Annotated[str, msgspec.Meta(min_length=1)]

T = TypeVar("T")


class Shape(msgspec.Struct, frozen=True, rename="camel"):
    """Any field may be missing or null, but for those without which it means nothing."""


class _Reference(Shape, frozen=True):
    name: Scalar = None
    key: Scalar = None
    optional: bool | None = None


class _FieldReference(Shape, frozen=True):
    field_path: Text = None


class _Source(Shape, frozen=True):
    config_map_key_ref: _Reference | None = None
    secret_key_ref: _Reference | None = None
    field_ref: _FieldReference | None = None


class _Variable(Shape, frozen=True):
    name: str
    value: Scalar = None
    value_from: _Source | None = None


class _Variables(Shape, frozen=True):
    prefix: Text = None
    config_map_ref: _Reference | None = None
    secret_ref: _Reference | None = None


class _Mount(Shape, frozen=True):
    mount_path: Path
    name: Text = None
    sub_path: Text = None


class _Port(Shape, frozen=True):
    name: Text = None
    container_port: int | None = None


class _Container(Shape, frozen=True):
    image: Scalar = None
    command: list[Scalar] | None = None
    args: list[Scalar] | None = None
    working_dir: Scalar = None
    env: list[_Variable] | None = None
    env_from: list[_Variables] | None = None
    volume_mounts: list[_Mount] | None = None
    ports: list[_Port] | None = None


class _Script(_Container, frozen=True):
    source: Scalar = None


class _NamedContainer(_Container, frozen=True, kw_only=True):
    name: Name
    dependencies: list[str] | None = None


class _ContainerSet(Shape, frozen=True):
    containers: list[_NamedContainer] | None = None
    volume_mounts: list[_Mount] | None = None


class _Item(Shape, frozen=True):
    key: str
    path: str


class _Files(_Reference, frozen=True):
    items: list[_Item] | None = None


class _Claim(Shape, frozen=True):
    claim_name: Text = None


class _Volume(Shape, frozen=True):
    name: Text = None
    empty_dir: dict[str, Any] | None = None
    config_map: _Files | None = None
    secret: _Reference | None = None
    persistent_volume_claim: _Claim | None = None
    ephemeral: _Claim | None = None


class _Raw(Shape, frozen=True):
    data: Scalar = None


class _Key(Shape, frozen=True):
    key: Text = None
    blob: Text = None


class _Artifact(Shape, frozen=True):
    name: str
    path: Text = None
    sub_path: Text = None
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)] | None = None
    raw: _Raw | None = None
    s3: _Key | None = None
    gcs: _Key | None = None
    oss: _Key | None = None
    azure: _Key | None = None


class _Artifacts(Shape, frozen=True):
    artifacts: list[_Artifact] | None = None


class _ValueFrom(Shape, frozen=True):
    path: Text = None


class _Parameter(Shape, frozen=True):
    name: str
    value_from: _ValueFrom | None = None


class _Outputs(_Artifacts, frozen=True):
    parameters: list[_Parameter] | None = None


class Inputs(Shape, frozen=True):
    """The inputs of a node."""

    inputs: _Artifacts | None = None


class _Metadata(Shape, frozen=True):
    name: Text = None


class _ClaimTemplate(Shape, frozen=True):
    metadata: _Metadata | None = None


class Spec(Shape, frozen=True):
    """What of a workflow's spec its leaves share."""

    volumes: list[_Volume] | None = None
    volume_claim_templates: list[_ClaimTemplate] | None = None


class Template(Shape, frozen=True):
    """A template that is run."""

    container: _Container | None = None
    script: _Script | None = None
    container_set: _ContainerSet | None = None
    init_containers: list[_NamedContainer] | None = None
    sidecars: list[_NamedContainer] | None = None
    volumes: list[_Volume] | None = None
    outputs: _Outputs | None = None


def checked(document: Mapping[str, Any], shape: type[T]) -> T:
    """What is read of a document. Raises `CannotRun` for the first field that is of another type."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        field, _, why = explain(str(error)).partition(": ")
        raise CannotRun(field, why) from None
