"""What of a template is read here, by type: Kubernetes refuses a pod of another shape, and so a leaf is an Error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec

from engine.executors.local.configuration import CannotRun
from engine.shape import explain
from engine.shape.specs import VolumeClaim
from engine.shape.values import Flag, KeyReference, Scalar, Shape, Text

Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", max_length=63)]
"""Of a container: it names a folder."""
Path = Annotated[str, msgspec.Meta(min_length=1)]

PORTS: Final = range(1, 65536)
Port = Annotated[int, msgspec.Meta(ge=PORTS.start, lt=PORTS.stop)]

T = TypeVar("T")


class _Reference(KeyReference):
    optional: Flag = None


class _FieldReference(Shape):
    field_path: Text = None


class _Source(Shape):
    config_map_key_ref: _Reference | None = None
    secret_key_ref: _Reference | None = None
    field_ref: _FieldReference | None = None


class _Variable(Shape):
    name: str
    value: Scalar = None
    value_from: _Source | None = None


class _Variables(Shape):
    prefix: Text = None
    config_map_ref: _Reference | None = None
    secret_ref: _Reference | None = None


class _Mount(Shape):
    mount_path: Path
    name: Text = None
    sub_path: Text = None


class _Port(Shape):
    name: Text = None
    container_port: Port | None = None


class _Container(Shape):
    image: Scalar = None
    command: list[Scalar] | None = None
    args: list[Scalar] | None = None
    working_dir: Scalar = None
    env: list[_Variable] | None = None
    env_from: list[_Variables] | None = None
    volume_mounts: list[_Mount] | None = None
    ports: list[_Port] | None = None


class _Script(_Container):
    source: Scalar = None


class _NamedContainer(_Container, kw_only=True):
    name: Name
    dependencies: list[str] | None = None


class _ContainerSet(Shape):
    containers: list[_NamedContainer] | None = None
    volume_mounts: list[_Mount] | None = None


class _Item(Shape):
    key: str
    path: str


class _Files(_Reference):
    items: list[_Item] | None = None


class _Claim(Shape):
    claim_name: Text = None


class _Volume(Shape):
    name: Text = None
    empty_dir: dict[str, Any] | None = None
    config_map: _Files | None = None
    secret: _Reference | None = None
    persistent_volume_claim: _Claim | None = None
    ephemeral: _Claim | None = None


class _Raw(Shape):
    data: Scalar = None


class _Key(Shape):
    key: Text = None
    blob: Text = None


class _Artifact(Shape):
    name: str
    path: Text = None
    sub_path: Text = None
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)] | None = None
    raw: _Raw | None = None
    s3: _Key | None = None
    gcs: _Key | None = None
    oss: _Key | None = None
    azure: _Key | None = None


class _Artifacts(Shape):
    artifacts: list[_Artifact] | None = None


class _ValueFrom(Shape):
    path: Text = None


class _Parameter(Shape):
    name: str
    value_from: _ValueFrom | None = None


class _Outputs(_Artifacts):
    parameters: list[_Parameter] | None = None


class Inputs(Shape):
    """The inputs of a node."""

    inputs: _Artifacts | None = None


class Spec(Shape):
    """What of a workflow's spec its leaves share."""

    volumes: list[_Volume] | None = None
    volume_claim_templates: list[VolumeClaim] | None = None


class Template(Shape):
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
