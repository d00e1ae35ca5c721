"""What the fields of a spec may be: as much of Argo's types as the engine relies on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from engine.shape.values import Artifact, Flag, KeyReference, Location, Scalar, Shape, Text, Values, Whole


class Reference(Shape):
    """``templateRef`` and ``workflowTemplateRef``."""

    name: Text = None
    template: Text = None
    cluster_scope: Flag = None


class Hook(Shape):
    """One entry of ``hooks``."""

    template: Text = None
    template_ref: Reference | None = None
    arguments: Values | None = None
    expression: Text = None


class ContinueOn(Shape):
    """What of a step's failure is none of its parent's."""

    error: Flag = None
    failed: Flag = None


class Sequence(Shape):
    """``withSequence``."""

    count: Scalar = None
    start: Scalar = None
    end: Scalar = None
    format: Text = None


class Call(Shape):
    """What steps and tasks have in common."""

    name: str
    template: Text = None
    template_ref: Reference | None = None
    inline: Template | None = None
    arguments: Values | None = None
    with_items: list[Any] | None = None
    with_param: Text = None
    with_sequence: Sequence | None = None
    hooks: dict[str, Hook | None] | None = None
    on_exit: Text = None
    continue_on: ContinueOn | None = None


class Step(Call, forbid_unknown_fields=True):
    """One step. Argo's own decoder of steps refuses a field that there is not, others let it be (ParallelSteps)."""

    when: Text = None


class Task(Call):
    """A task of a DAG."""

    when: Scalar = None
    depends: Text = None
    dependencies: list[str] | None = None


class Dag(Shape):
    """``dag``."""

    tasks: list[Task] | None = None
    target: Text = None
    fail_fast: Flag = None


class Suspend(Shape):
    """``suspend``."""

    duration: Scalar = None


class Backoff(Shape):
    """Of a retry strategy."""

    duration: Scalar = None
    factor: Scalar = None
    max_duration: Scalar = None
    cap: Scalar = None


class RetryStrategy(Shape):
    """``retryStrategy``."""

    limit: Scalar = None
    retry_policy: Text = None
    backoff: Backoff | None = None
    expression: Text = None


class DatabaseKey(Shape):
    """``database`` of a semaphore."""

    key: Text = None


class Semaphore(Shape):
    """One lock of ``synchronization`` that several may hold."""

    config_map_key_ref: KeyReference | None = None
    database: DatabaseKey | None = None
    namespace: Text = None


class Mutex(Shape):
    """One lock of ``synchronization`` that one may hold."""

    name: Text = None
    database: Flag = None
    namespace: Text = None


class Synchronization(Shape):
    """``synchronization``."""

    semaphore: Semaphore | None = None
    semaphores: list[Semaphore] | None = None
    mutex: Mutex | None = None
    mutexes: list[Mutex] | None = None


class Cache(Shape):
    """Of ``memoize``."""

    config_map: KeyReference | None = None


class Memoize(Shape):
    """``memoize``."""

    key: Scalar = None
    max_age: Text = None
    cache: Cache | None = None


class VolumeMount(Shape):
    """Of a container or a container set."""

    name: Text = None
    mount_path: Text = None


class Container(Shape):
    """``container`` and ``script``: what of them is looked at before they are handed on."""

    image: Text = None
    command: list[Scalar] | None = None
    args: list[Scalar] | None = None
    env: list[dict[str, Any] | None] | None = None
    working_dir: Scalar = None
    volume_mounts: list[VolumeMount] | None = None


class NamedContainer(Container, kw_only=True):
    """One of ``containerSet.containers``."""

    name: str
    dependencies: list[str] | None = None


class ContainerRetries(Shape):
    """``containerSet.retryStrategy``."""

    retries: Scalar = None


class ContainerSet(Shape):
    """``containerSet``."""

    containers: list[NamedContainer] | None = None
    retry_strategy: ContainerRetries | None = None
    volume_mounts: list[VolumeMount] | None = None


class ManifestFrom(Shape):
    """``resource.manifestFrom``."""

    artifact: Artifact | None = None


class Resource(Shape):
    """``resource``."""

    action: Text = None
    manifest: Text = None
    manifest_from: ManifestFrom | None = None


class OtherContainer(Shape):
    """One of ``initContainers`` and ``sidecars``."""

    name: Text = None
    volume_mounts: list[VolumeMount] | None = None


class Volume(Shape):
    """One of ``volumes``, and the metadata of a volume claim."""

    name: Text = None


class VolumeClaim(Shape):
    """One of ``volumeClaimTemplates``."""

    metadata: Volume | None = None


class MetricLabel(Shape):
    """One of a metric's ``labels``."""

    key: Text = None


class Measure(Shape):
    """``gauge``, ``counter`` and ``histogram``."""

    value: Scalar = None
    realtime: Flag = None


class Metric(Shape):
    """One of ``metrics.prometheus``."""

    name: Text = None
    help: Text = None
    labels: list[MetricLabel] | None = None
    gauge: Measure | None = None
    counter: Measure | None = None
    histogram: Measure | None = None


class Metrics(Shape):
    """``metrics``."""

    prometheus: list[Metric] | None = None


class Metadata(Shape):
    """What the engine reads of any ``metadata``."""

    labels: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


class Template(Shape):
    """One template; what is for pods alone is left to those who run them."""

    name: Text = None
    inputs: Values | None = None
    outputs: Values | None = None
    steps: list[list[Step]] | None = None
    dag: Dag | None = None
    suspend: Suspend | None = None
    container: Container | None = None
    container_set: ContainerSet | None = None
    script: Container | None = None
    resource: Resource | None = None
    data: dict[str, Any] | None = None
    http: dict[str, Any] | None = None
    plugin: Annotated[dict[str, Any], msgspec.Meta(min_length=1, max_length=1)] | None = None
    """By the name of the one plugin that is to execute it (Argo's Plugin.UnmarshalJSON)."""
    init_containers: list[OtherContainer] | None = None
    sidecars: list[OtherContainer] | None = None
    volumes: list[Volume] | None = None
    metrics: Metrics | None = None
    annotations: dict[str, str | None] | None = None
    metadata: Metadata | None = None
    daemon: Flag = None
    fail_fast: Flag = None
    parallelism: Whole = None
    active_deadline_seconds: Scalar = None
    timeout: Scalar = None
    retry_strategy: RetryStrategy | None = None
    synchronization: Synchronization | None = None
    memoize: Memoize | None = None
    archive_location: Location | None = None


class LabelSource(Shape):
    """One of ``workflowMetadata.labelsFrom``."""

    expression: Text = None


class WorkflowMetadata(Shape):
    """``workflowMetadata``."""

    labels: dict[str, Scalar] | None = None
    annotations: dict[str, Scalar] | None = None
    labels_from: dict[str, LabelSource | None] | None = None


class Requirement(Shape):
    """One of ``matchExpressions``."""

    key: Text = None
    operator: Text = None
    values: list[Scalar] | None = None


class Selector(Shape):
    """``labelSelector``."""

    match_labels: dict[str, Scalar] | None = None
    match_expressions: list[Requirement] | None = None


class PodGC(Shape):
    """``podGC``."""

    strategy: Text = None
    label_selector: Selector | None = None


class TTLStrategy(Shape):
    """``ttlStrategy``, in seconds."""

    seconds_after_completion: Whole = None
    seconds_after_success: Whole = None
    seconds_after_failure: Whole = None


class Spec(Shape):
    """``spec`` of a Workflow or a WorkflowTemplate."""

    entrypoint: Text = None
    arguments: Values | None = None
    templates: list[Template] | None = None
    template_defaults: Template | None = None
    volumes: list[Volume] | None = None
    volume_claim_templates: list[VolumeClaim] | None = None
    workflow_template_ref: Reference | None = None
    hooks: dict[str, Hook | None] | None = None
    on_exit: Text = None
    parallelism: Whole = None
    suspend: Flag = None
    shutdown: Text = None
    active_deadline_seconds: Whole = None
    retry_strategy: RetryStrategy | None = None
    synchronization: Synchronization | None = None
    workflow_metadata: WorkflowMetadata | None = None
    priority: Whole = None
    service_account_name: Text = None
    pod_gc: PodGC | None = msgspec.field(default=None, name="podGC")
    ttl_strategy: TTLStrategy | None = None
