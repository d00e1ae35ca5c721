"""What an embedder imports from the packages themselves."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["rpc", "rpc.plugin", "registry", "engine"])
def test_every_name_of_a_face_is_there(package: str) -> None:
    face = import_module(package)
    assert [name for name in face.__all__ if not hasattr(face, name)] == []
