"""Workflows that are made from a template or a CronWorkflow, as `argo submit --from` has them made."""

from __future__ import annotations

from typing import Any, Final

from engine.manifests.cron import one_run
from engine.manifests.loading import Manifest, ManifestError, Manifests

_KINDS: Final = {
    **dict.fromkeys(("workflowtemplate", "workflowtemplates", "wftmpl"), "workflowtemplate"),
    **dict.fromkeys(("clusterworkflowtemplate", "clusterworkflowtemplates", "cwftmpl"), "clusterworkflowtemplate"),
    **dict.fromkeys(("cronworkflow", "cronworkflows", "cronwf"), "cronwf"),
}
"""The names of kinds by which Argo knows them, in any capitals (pkg/apis/workflow/register.go)."""


def sources(manifests: Manifests) -> dict[str, Manifest]:
    """What a workflow can be made from, as in ``workflowtemplate/NAME``."""
    shelves = {
        "workflowtemplate": manifests.workflow_templates,
        "clusterworkflowtemplate": manifests.cluster_workflow_templates,
        "cronwf": manifests.cron_workflows,
    }
    return {f"{kind}/{name}": manifest for kind, shelf in shelves.items() for name, manifest in shelf.items()}


def workflow_from(manifests: Manifests, source: str) -> Manifest:
    """The workflow that `argo submit --from source` makes (Argo's NewWorkflowFromWorkflowTemplate).

    Its name is generated from the template's. Raises `ManifestError` where `source` is no ``KIND/NAME`` that there is.
    """
    kind, _, name = source.partition("/")
    kind = _KINDS.get(kind.lower(), "")
    if not kind or not name:
        expected = "workflowtemplate/NAME, clusterworkflowtemplate/NAME or cronwf/NAME"
        raise ManifestError(f"--from {source}: expected {expected}")
    known = sources(manifests)
    found = known.get(f"{kind}/{name}")
    if found is None:
        raise ManifestError(f"--from {source}: there is none, expected {' or '.join(known) or 'its manifest'}")
    run = one_run(found.document) if kind == "cronwf" else _run_of(found.document, name, kind)
    if run is None:
        raise ManifestError(f"{found}: spec.workflowSpec: expected a mapping, got none")
    return Manifest(run, found.path, found.index)


def _run_of(template: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
    cluster = kind == "clusterworkflowtemplate"
    label = f"workflows.argoproj.io/{'cluster-' if cluster else ''}workflow-template"
    metadata: dict[str, Any] = {"generateName": f"{name}-", "labels": {label: name}}
    namespace = (template.get("metadata") or {}).get("namespace")
    if namespace and not cluster:
        metadata["namespace"] = namespace
    return {
        "apiVersion": template.get("apiVersion") or "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": metadata,
        "spec": {"workflowTemplateRef": {"name": name, **({"clusterScope": True} if cluster else {})}},
    }
