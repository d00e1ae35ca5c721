"""What the fields of metadata, a status and its nodes may be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.shape.specs import Metadata, Spec, Template
from engine.shape.values import Flag, Shape, Text, Values


class MutexHolding(Shape):
    """One mutex that the workflow or one of its nodes holds."""

    mutex: str
    holder: str


class MutexWaiting(Shape):
    """One mutex that the workflow or some of its nodes wait for, and who holds it."""

    mutex: str
    holder: Text = None


class SemaphoreHolding(Shape):
    """One semaphore that the workflow or some of its nodes hold."""

    semaphore: str
    holders: list[str] | None = None


class MutexStatus(Shape):
    """``status.synchronization.mutex``."""

    holding: list[MutexHolding] | None = None
    waiting: list[MutexWaiting] | None = None


class SemaphoreStatus(Shape):
    """``status.synchronization.semaphore``."""

    holding: list[SemaphoreHolding] | None = None
    waiting: list[SemaphoreHolding] | None = None


class SynchronizationStatus(Shape):
    """``status.synchronization``."""

    mutex: MutexStatus | None = None
    semaphore: SemaphoreStatus | None = None


class Condition(Shape):
    """One of ``status.conditions``."""

    type: Text = None


class Status(Shape):
    """``status``; its nodes are checked when they become `engine.model.node.Node`."""

    nodes: dict[str, Any] | None = None
    phase: Text = None
    message: Text = None
    progress: Text = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    conditions: list[Condition] | None = None
    outputs: Values | None = None
    synchronization: SynchronizationStatus | None = None
    stored_templates: dict[str, Template] | None = None
    stored_workflow_template_spec: Spec | None = None


class ObjectMetadata(Metadata):
    """``metadata`` of a workflow."""

    name: Text = None
    generate_name: Text = None
    namespace: Text = None
    uid: Text = None
    creation_timestamp: datetime | None = None


class Outputs(Values):
    """``outputs`` of a node: of a pod its result and exit code, too."""

    result: Text = None
    exit_code: str | int | None = None


class Memoization(Shape):
    """``memoizationStatus``."""

    hit: Flag = None
    key: Text = None
    cache_name: Text = None


class Waiting(Shape):
    """``synchronizationStatus``."""

    waiting: Text = None


class NodeStatus(Shape):
    """What `engine.model.node.Node` keeps as it comes."""

    id: Text = None
    children: list[str] | None = None
    inputs: Values | None = None
    outputs: Outputs | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    memoization_status: Memoization | None = None
    synchronization_status: Waiting | None = None
    node_flag: dict[str, Any] | None = None


class Manifest(Shape):
    """A Workflow, a WorkflowTemplate or a ClusterWorkflowTemplate."""

    metadata: ObjectMetadata | None = None
    spec: Spec | None = None
    status: Status | None = None
