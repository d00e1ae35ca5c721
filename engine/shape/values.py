"""What every shape is made of, and the values that go into templates and come out of them."""

from __future__ import annotations

from typing import Any

import msgspec

Text = str | None
Flag = bool | None
Whole = int | None
Scalar = str | int | float | bool | None
"""What Argo reads as an IntOrString or AnyString: a number, or a text that may be a tag."""


class Shape(msgspec.Struct, kw_only=True, rename="camel"):
    """Any field may be missing or null, but for those that give a thing its name."""


class KeyReference(Shape):
    """``configMapKeyRef``."""

    name: Scalar = None
    key: Scalar = None


class ValueFrom(Shape):
    """Where a parameter's value comes from."""

    path: Text = None
    parameter: Text = None
    expression: Text = None
    config_map_key_ref: KeyReference | None = None


class Parameter(Shape):
    """Of arguments, inputs and outputs. Its value may be of any type: it is a text from then on."""

    name: str
    value_from: ValueFrom | None = None
    enum: list[Any] | None = None
    global_name: Text = None


class Git(Shape):
    """``git`` of an artifact."""

    repo: Text = None


class Hdfs(Shape):
    """``hdfs`` of an artifact."""

    addresses: list[Text] | None = None
    path: Text = None


class Location(Shape):
    """Where artifacts lie; other stores are left to those who run pods."""

    git: Git | None = None
    hdfs: Hdfs | None = None


class Artifact(Location, kw_only=True):
    """Of arguments, inputs and outputs."""

    name: str
    path: Text = None
    from_: Text = msgspec.field(default=None, name="from")
    from_expression: Text = None
    global_name: Text = None
    mode: Whole = None
    optional: Flag = None


class Values(Shape):
    """``arguments``, ``inputs`` and ``outputs``."""

    parameters: list[Parameter] | None = None
    artifacts: list[Artifact] | None = None
