"""Workflows made from what is there: from a template or a CronWorkflow, or from a workflow that ran before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from engine.graph.arguments import BindingError, keyed
from engine.manifests.cron import one_run
from engine.manifests.sources import kind_of, run_of
from engine.model.ids import node_id
from engine.model.naming import generated_name
from engine.model.node import Node, to_dict
from engine.model.workflow import Workflow
from engine.operations import retried, with_parameters, with_spec
from engine.reconciler import Reconciler
from engine.serving.admission import OwnerReference, admitted, check_path_namespace
from engine.serving.errors import invalid, not_found
from engine.serving.guard import Handler
from engine.serving.records import Record, Records
from engine.serving.requests import Body, Document, read_body
from engine.serving.selectors import check_annotations, check_labels
from engine.serving.workflows import Workflows
from engine.storage.store import Store
from engine.templates.catalog import CLUSTER_WORKFLOW_TEMPLATE, WORKFLOW_TEMPLATE
from engine.templates.specification import spec_in_force

CRON_WORKFLOW: Final = "CronWorkflow"
RESUBMITTED: Final = "workflows.argoproj.io/resubmitted-from-workflow"
_TEMPLATES: Final = {"workflowtemplate": WORKFLOW_TEMPLATE, "clusterworkflowtemplate": CLUSTER_WORKFLOW_TEMPLATE}

_NOT_CARRIED: Final = frozenset(
    {
        "workflows.argoproj.io/phase",
        "workflows.argoproj.io/completed",
        "workflows.argoproj.io/workflow-archiving-status",
        "workflows.argoproj.io/creator",
        "workflows.argoproj.io/creator-email",
        "workflows.argoproj.io/creator-preferred-username",
    }
)
"""Labels that say something about one run (Argo's FormulateResubmitWorkflow)."""


class SubmitOptions(Body):
    """Argo's SubmitOpts, as far as they count without a cluster."""

    name: str = ""
    generate_name: str = ""
    entry_point: str = ""
    parameters: list[str] | None = None
    labels: str = ""
    annotations: str = ""
    service_account: str = ""
    priority: int | None = None
    pod_priority_class_name: str = ""
    owner_reference: OwnerReference | None = None
    artifacts: list[str] | None = None
    dry_run: bool = False
    server_dry_run: bool = False


class SubmitBody(Body):
    """Argo's WorkflowSubmitRequest."""

    resource_kind: str = ""
    resource_name: str = ""
    submit_options: SubmitOptions | None = None


class ResubmitBody(Body):
    """Argo's WorkflowResubmitRequest."""

    memoized: bool = False
    parameters: list[str] | None = None


class Submitting:
    """The operations that make a workflow from something else."""

    def __init__(self, engine: Reconciler, store: Store, records: Records, workflows: Workflows) -> None:
        self._engine = engine
        self._store = store
        self._records = records
        self._workflows = workflows

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "WorkflowService_SubmitWorkflow": self.submit,
            "WorkflowService_ResubmitWorkflow": self.resubmit,
        }

    async def submit(self, request: web.Request) -> web.Response:
        """Run a template or what a CronWorkflow would, with options of `argo submit`'s."""
        namespace = request.match_info["namespace"]
        check_path_namespace(namespace)
        body = await read_body(request, SubmitBody)
        options = body.submit_options or SubmitOptions()
        document = await self._made_from(body.resource_kind, body.resource_name, namespace)
        document = with_options(document, options)
        if options.artifacts:
            library = self._engine.templates.library(namespace)
            document = with_artifacts(document, spec_in_force(document, library), options.artifacts)
        workflow = await admitted(document, self._engine.templates)
        return await self._workflows.submit(workflow, dry_run=options.dry_run or options.server_dry_run)

    async def _made_from(self, resource: str, name: str, namespace: str) -> Document:
        kind = kind_of(resource)
        if not kind:
            raise invalid(f"Resource kind '{resource}' is not supported for submitting")
        if kind in _TEMPLATES:
            template = self._engine.templates.get(_TEMPLATES[kind], name, namespace=namespace)
            if template is None:
                raise not_found(f"{kind}s.argoproj.io", name)
            made: Document | None = run_of(template, name, kind)
        else:
            cron = await self._store.get(CRON_WORKFLOW, namespace, name)
            if cron is None:
                raise not_found("cronworkflows.argoproj.io", name)
            made = one_run(cron.document)
        if made is None:
            raise invalid(f'cronworkflows.argoproj.io "{name}": spec.workflowSpec: expected a mapping, got none')
        return {**made, "metadata": {**made["metadata"], "namespace": namespace}}

    async def resubmit(self, request: web.Request) -> web.Response:
        """Submit what a workflow was made of once more."""
        body = await read_body(request, ResubmitBody)
        return await self.resubmit_record(self._workflows.find(request), body)

    async def resubmit_record(self, record: Record, body: ResubmitBody) -> web.Response:
        """Likewise, of one that was found."""
        before = await self._records.workflow(record)
        document = with_parameters(again(before.document), assignments(body.parameters))
        if not body.memoized:
            return await self._workflows.submit(await admitted(document, self._engine.templates))
        if before.phase not in ("Failed", "Error"):
            raise invalid("workflow must be Failed/Error to resubmit in memoized mode")
        name = generated_name(document["metadata"]["generateName"])
        document = {**document, "metadata": {**document["metadata"], "name": name}}
        await admitted(document, self._engine.templates)
        status = memoized_status(before, name, self._engine.clock())
        return await self._workflows.submit(await Workflow.loaded({**document, "status": status}))


def with_options(document: Document, options: SubmitOptions) -> Document:
    """The workflow with these options (Argo's ApplySubmitOpts). Raises `ApiError`."""
    metadata = dict(document["metadata"])
    metadata |= {"name": options.name} if options.name else {}
    metadata |= {"generateName": options.generate_name} if options.generate_name else {}
    for field, text in (("labels", options.labels), ("annotations", options.annotations)):
        if text:
            pairs = _pairs(field, text)
            (check_labels if field == "labels" else check_annotations)(f"submitOptions.{field}", pairs)
            metadata[field] = {**(metadata.get(field) or {}), **pairs}
    if options.owner_reference:
        owner = msgspec.to_builtins(options.owner_reference)
        metadata["ownerReferences"] = [*(metadata.get("ownerReferences") or ()), owner]
    given = {
        "entrypoint": options.entry_point or None,
        "serviceAccountName": options.service_account or None,
        "priority": options.priority,
        "podPriorityClassName": options.pod_priority_class_name or None,
    }
    document = {**document, "metadata": metadata}
    document = with_spec(document, **{field: value for field, value in given.items() if value is not None})
    return with_parameters(document, assignments(options.parameters))


def with_artifacts(document: Document, in_force: Mapping[str, Any], keys: Iterable[str]) -> Document:
    """The workflow with artifacts among its arguments, its own or its template's, at other keys, ``NAME=KEY`` each
    (Argo's overrideArtifacts). ``in_force`` is its spec, over that of its template. Raises `ApiError`.
    """
    given = assignments(keys, "artifact", "KEY")
    declared = {each["name"]: each for each in (in_force.get("arguments") or {}).get("artifacts") or ()}
    if unknown := sorted(given.keys() - declared.keys()):
        raise invalid(f"artifact override(s) matched no artifact: {', '.join(unknown)}")
    try:
        overridden = [keyed(declared[name], key) for name, key in given.items()]
    except BindingError as error:
        raise invalid(str(error)) from None
    arguments = document["spec"].get("arguments") or {}
    kept = [each for each in arguments.get("artifacts") or () if each["name"] not in given]
    return with_spec(document, arguments={**arguments, "artifacts": [*kept, *overridden]})


def assignments(texts: Iterable[str] | None, what: str = "parameter", value_is: str = "VALUE") -> dict[str, str]:
    """What ``NAME=VALUE`` say; a ``KEY`` may not be empty. Raises `ApiError`."""
    given: dict[str, str] = {}
    for each in texts or ():
        name, equals, value = each.partition("=")
        if not equals or not name or (value_is == "KEY" and not value):
            raise invalid(f"expected {what} of the form: NAME={value_is}. Received: {each}")
        given[name] = value
    return given


def _pairs(field: str, text: str) -> dict[str, str]:
    pairs = [each.partition("=") for each in text.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise invalid(f"Expected {field} of the form: NAME1=VALUE2,NAME2=VALUE2. Received: {text}")
    return {name.strip(): value for name, _, value in pairs}


def again(document: Document) -> Document:
    """The workflow as it is to be submitted once more, under a name of its own (Argo's FormulateResubmitWorkflow)."""
    old = document["metadata"]
    labels = {name: value for name, value in (old.get("labels") or {}).items() if name not in _NOT_CARRIED}
    metadata = {
        "namespace": old["namespace"],
        "generateName": old.get("generateName") or f"{old['name']}-",
        "labels": {**labels, RESUBMITTED: old["name"]},
        **{field: old[field] for field in ("annotations", "ownerReferences") if old.get(field)},
    }
    version = document.get("apiVersion") or "argoproj.io/v1alpha1"
    again = {"apiVersion": version, "kind": "Workflow", "metadata": metadata, "spec": document["spec"]}
    taken = {"shutdown": None}
    if document["spec"].get("activeDeadlineSeconds") == 0:
        taken["activeDeadlineSeconds"] = None  # that is how it was terminated once
    return with_spec(again, **taken)


def memoized_status(before: Workflow, name: str, now: float) -> Document:
    """What of a failed workflow need not run again, as another workflow `name` has it: what a retry would keep."""
    kept = retried(before, now).nodes
    ids = {key: node_id(name, _renamed(node.name, before.name, name), ()) for key, node in kept.items()}
    nodes = {ids[key]: _moved(node, before.name, name, ids) for key, node in kept.items()}
    status = before.document["status"]
    stored = {field: status[field] for field in ("storedTemplates", "storedWorkflowTemplateSpec") if field in status}
    return {**stored, "conditions": [{"type": "Completed", "status": "False"}], "nodes": nodes}


def _renamed(node: str, before: str, name: str) -> str:
    return name + node.removeprefix(before)


def _moved(node: Node, before: str, name: str, ids: Mapping[str, str]) -> Document:
    document = to_dict(node)
    document |= {"id": ids[node.id], "name": _renamed(node.name, before, name)}
    if node.display_name == before:
        document["displayName"] = name
    if node.boundary_id:
        document["boundaryID"] = ids.get(node.boundary_id, "")
    for field in ("children", "outboundNodes"):
        if document.get(field):
            document[field] = [ids[each] for each in document[field] if each in ids]
    return document
