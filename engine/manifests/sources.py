"""Workflows that are made from a template or a CronWorkflow, as `argo submit --from` has them made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
    """What a workflow can be made from, as in ``workflowtemplate/NAME``, or ``workflowtemplate/NAMESPACE/NAME`` where
    there is one of that name in several namespaces."""
    found: dict[str, Manifest] = {}
    for kind, shelf in _shelves(manifests).items():
        names = Counter(each.name for each in shelf.values())
        for each in shelf.values():
            found[f"{kind}/{each.name}" if names[each.name] == 1 else f"{kind}/{each.namespace}/{each.name}"] = each
    return found


def _shelves(manifests: Manifests) -> dict[str, dict[str, Manifest]]:
    return {
        "workflowtemplate": manifests.workflow_templates,
        "clusterworkflowtemplate": manifests.cluster_workflow_templates,
        "cronwf": manifests.cron_workflows,
    }


def workflow_from(manifests: Manifests, source: str) -> Manifest:
    """The workflow that `argo submit --from source` makes (Argo's NewWorkflowFromWorkflowTemplate).

    Its name is generated from the template's, and it is in the same namespace. Raises `ManifestError` where `source` is
    no ``KIND/NAME`` or ``KIND/NAMESPACE/NAME`` that there is, or which of several is meant is open.
    """
    kind, _, place = source.partition("/")
    kind = kind_of(kind)
    if not kind or not place:
        expected = "workflowtemplate/NAME, clusterworkflowtemplate/NAME or cronwf/NAME"
        raise ManifestError(f"--from {source}: expected {expected}")
    namespace, _, name = place.rpartition("/")
    of_that_name = [each for each in _shelves(manifests)[kind].values() if each.name == name]
    meant = [each for each in of_that_name if namespace in ("", each.namespace)]
    if len(meant) != 1:
        problem = "there is one in several namespaces" if meant else "there is none"
        known = [key for key, each in sources(manifests).items() if not meant or each in meant]
        raise ManifestError(f"--from {source}: {problem}, expected {' or '.join(known) or 'its manifest'}")
    found = meant[0]
    run = one_run(found.document) if kind == "cronwf" else run_of(found.document, name, kind)
    if run is None:
        raise ManifestError(f"{found}: spec.workflowSpec: expected a mapping, got none")
    return Manifest(run, found.path, found.index)


def kind_of(name: str) -> str:
    """The kind that Argo knows by this name, as it stands in front of a ``/NAME``; empty where there is none."""
    return _KINDS.get(name.lower(), "")


def run_of(template: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    """The workflow that runs a template of a `kind_of`."""
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
