"""What plugins are sent: a struct for the arguments of each method, and for what is in them.

The contract (docs/openapi.yaml) is made of these, and functions of the SDK get them where they are annotated so. They
are as lenient as the engine is towards manifests: what it lets pass must not fail in a plugin.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from rpc.methods import Method
from rpc.replies import Phase

Time = Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Number = int | float
Object = dict[str, Any]


class Sent(msgspec.Struct, frozen=True, rename="camel"):
    """In JSON, names of fields are in camel case. Those that are not known are passed over."""


class Parameter(Sent, frozen=True):
    """Argo's Parameter."""

    name: str
    value: Any = None
    default: Any = None
    description: str | None = None
    enum: list[Any] | None = None
    global_name: str | None = None
    value_from: Object | None = None


class Artifact(Sent, frozen=True):
    """Argo's Artifact; where it lies is under the name of the store."""

    name: str
    path: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    from_expression: str | None = None
    global_name: str | None = None
    sub_path: Any = None
    optional: bool | None = None
    deleted: Any = None
    mode: Any = None
    recurse_mode: Any = None
    archive: Any = None
    archive_logs: Any = None
    artifact_gc: Any = msgspec.field(default=None, name="artifactGC")
    artifactory: Any = None
    azure: Any = None
    gcs: Any = None
    git: Object | None = None
    hdfs: Object | None = None
    http: Any = None
    oss: Any = None
    plugin: Any = None
    raw: Any = None
    s3: Any = None


class Inputs(Sent, frozen=True):
    """Argo's Inputs."""

    parameters: list[Parameter] | None = None
    artifacts: list[Artifact] | None = None


class Outputs(Inputs, frozen=True):
    """Argo's Outputs."""

    result: str | None = None
    exit_code: str | Number | None = None


class Metadata(Sent, frozen=True):
    """As much of Kubernetes' ObjectMeta as a workflow has without a cluster."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generate_name: str | None = None
    labels: Object | None = None
    annotations: Object | None = None
    creation_timestamp: Time | None = None


class NodeStatus(Sent, frozen=True):
    """Argo's NodeStatus: a node of a workflow. Its ``id`` is the same in every pass."""

    id: str
    name: str
    display_name: str = ""
    type: str = ""
    template_name: str = ""
    template_ref: Object | None = None
    template_scope: str = ""
    phase: Literal[Phase, ""] = ""
    boundary_id: str = msgspec.field(default="", name="boundaryID")
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    estimated_duration: Number | None = None
    progress: str = ""
    resources_duration: Object | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    daemoned: bool | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    children: list[str] | None = None
    outbound_nodes: list[str] | None = None
    host_node_name: str = ""
    memoization_status: Object | None = None
    synchronization_status: Object | None = None
    node_flag: Object | None = None
    failed_pod_restarts: Any = None


class JobNode(NodeStatus, frozen=True):
    """A node that plugins execute. ``attempt``: how many attempts its own ``retryStrategy`` made before this one."""

    attempt: Number = 0


class WorkflowStatus(Sent, frozen=True):
    """Argo's WorkflowStatus. ``nodes`` are sent with ``payload = "full"`` only."""

    phase: str | None = None
    message: str | None = None
    progress: str | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    estimated_duration: Any = None
    resources_duration: Any = None
    conditions: list[Object] | None = None
    outputs: Outputs | None = None
    nodes: dict[str, NodeStatus] | None = None
    stored_templates: dict[str, Object] | None = None
    stored_workflow_template_spec: Object | None = None
    synchronization: Object | None = None
    persistent_volume_claims: Any = None


class Workflow(Sent, frozen=True):
    """Argo's Workflow: whole in ``workflow.*``, its ``metadata`` elsewhere, unless ``payload`` is ``full``."""

    metadata: Metadata
    api_version: str | None = None
    kind: str | None = None
    spec: Object = {}
    status: WorkflowStatus = WorkflowStatus()


class Template(Sent, frozen=True):
    """Argo's Template. What a container is, and all that is for pods alone, is as in the manifest."""

    name: str | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    metadata: Object | None = None
    annotations: dict[str, str | None] | None = None
    container: Object | None = None
    container_set: Object | None = None
    script: Object | None = None
    steps: list[list[Object]] | None = None
    dag: Object | None = None
    suspend: Object | None = None
    resource: Object | None = None
    data: Object | None = None
    http: Object | None = None
    plugin: Object | None = None
    memoize: Object | None = None
    metrics: Object | None = None
    retry_strategy: Object | None = None
    synchronization: Object | None = None
    active_deadline_seconds: Any = None
    timeout: Any = None
    daemon: bool | None = None
    fail_fast: bool | None = None
    parallelism: Number | None = None
    archive_location: Object | None = None
    init_containers: list[Object] | None = None
    sidecars: list[Object] | None = None
    volumes: list[Object] | None = None
    affinity: Any = None
    automount_service_account_token: Any = None
    executor: Any = None
    host_aliases: Any = None
    node_selector: Any = None
    pending_timeout: Any = None
    pod_resources: Any = None
    pod_spec_patch: Any = None
    priority: Any = None
    priority_class_name: Any = None
    resource_claims: Any = None
    scheduler_name: Any = None
    security_context: Any = None
    service_account_name: Any = None
    tolerations: Any = None


class Arguments(Sent, frozen=True):
    """What a method is sent; each has its own, whose docstring says when."""


class WorkflowPreOperate(Arguments, frozen=True):
    """At the beginning of each pass over a workflow that has not ended."""

    workflow: Workflow


class WorkflowPostOperate(Arguments, frozen=True):
    """At the end of each pass, and at every end of a workflow: as it was before the pass, and as it is now."""

    old: Workflow
    new: Workflow


class ParametersAdd(Arguments, frozen=True):
    """Once for each node, before the tags of its template are substituted."""

    workflow: Workflow
    template: Template


class NodePreExecute(Arguments, frozen=True):
    """For each node that is not fulfilled, on every pass: before it runs for the first time, and while it runs."""

    workflow: Workflow
    template: Template
    node: NodeStatus


class NodePostExecute(Arguments, frozen=True):
    """In the pass that sees a node's phase, message, progress or outputs change: as it was before, and as it is now."""

    workflow: Workflow
    template: Template
    old: NodeStatus
    new: NodeStatus


class TemplateExecute(Arguments, frozen=True):
    """For each node of a ``plugin:`` template, in place of the executor, and again after ``requeue``."""

    workflow: Workflow
    template: Template
    node: JobNode


class TemplateStop(Arguments, frozen=True):
    """For each node that a plugin executes and that ended otherwise than by a reply to ``template.execute``."""

    workflow: Workflow
    template: Template
    node: JobNode


ARGUMENTS: Final[dict[Method, type[Arguments]]] = {
    Method.WORKFLOW_PRE_OPERATE: WorkflowPreOperate,
    Method.WORKFLOW_POST_OPERATE: WorkflowPostOperate,
    Method.PARAMETERS_ADD: ParametersAdd,
    Method.NODE_PRE_EXECUTE: NodePreExecute,
    Method.NODE_POST_EXECUTE: NodePostExecute,
    Method.TEMPLATE_EXECUTE: TemplateExecute,
    Method.TEMPLATE_STOP: TemplateStop,
}
"""By method. Each struct has the fields that the method's ``arguments`` name."""
