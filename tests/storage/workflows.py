"""A workflow of two leaves, one after the other, and the one that an engine has."""

from __future__ import annotations

from typing import Any

from engine import Engine, Workflow
from tests.acceptance.manifests import container, workflow


def two_steps(**spec: Any) -> Workflow:
    steps = {"name": "main", "steps": [[{"name": "a", "template": "leaf"}], [{"name": "b", "template": "leaf"}]]}
    return workflow(steps, container("leaf"), **spec)


def only(engine: Engine) -> Workflow:
    (work,) = engine.workflows
    return work
