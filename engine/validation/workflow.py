"""The spec as a whole: what stands outside its templates, and in which order those are looked at."""

from __future__ import annotations

from typing import Final

from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.variables import text_of
from engine.templates.library import Context
from engine.templates.specification import InvalidSpec, merged_arguments
from engine.validation.arguments import check_arguments
from engine.validation.bodies import check_hooks
from engine.validation.filling import Placeholders
from engine.validation.names import LONGEST_WORKFLOW, check_names, is_parameter
from engine.validation.selectors import check_selector
from engine.validation.templates import Templates, drive

_POD_GC: Final = ("", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess")


def validate(document: Document, context: Context) -> None:
    """Raise `InvalidSpec` for the first thing in a workflow that Argo would refuse.

    ``context`` is where the names in the workflow's own spec resolve. A WorkflowTemplate that it refers to is looked at
    as it stands, before the two are merged.
    """
    metadata, spec = document["metadata"], document["spec"]
    _check_length("workflow", metadata["name"])
    about = {key: value for key, value in spec.items() if key != "templates"}
    names = [sorted(metadata.get(kind) or ()) for kind in ("labels", "annotations")]
    context.valid.get([about, *names], lambda _: _validate(metadata, spec, context))


def validate_template(document: Document, context: Context) -> None:
    """Raise `InvalidSpec` for the first thing in a (Cluster)WorkflowTemplate that Argo would refuse.

    It is looked at as a workflow, the arguments of which are still to come (Argo's ValidateWorkflowTemplate).
    """
    metadata, cluster = document["metadata"], document["kind"] == "ClusterWorkflowTemplate"
    _check_length("cluster workflow template" if cluster else "workflow template", metadata["name"])
    _validate(metadata, document["spec"], context, template=True)


def _check_length(kind: str, name: str) -> None:
    if len(name) > LONGEST_WORKFLOW:
        raise InvalidSpec(
            f'{kind} name "{name}" must not be more than {LONGEST_WORKFLOW} characters long (currently {len(name)})'
        )


def _validate(metadata: Document, spec: Document, context: Context, *, template: bool = False) -> None:
    """Look at all but the workflow's name: of metadata nothing else counts but which labels and annotations it has."""
    reference, below = spec.get("workflowTemplateRef"), spec
    if reference:
        context = context.library.context(reference.get("name") or "", cluster=bool(reference.get("clusterScope")))
        below = context.spec
    check_names("spec.templates", spec.get("templates") or ())
    arguments = merged_arguments(spec, below)
    check_arguments("spec.arguments.", arguments, empty=template)
    entrypoint, on_exit = (spec.get(field) or below.get(field) for field in ("entrypoint", "onExit"))
    if not entrypoint and not template:
        raise InvalidSpec("spec.entrypoint is required")
    placeholder = Placeholders()
    known = _known(metadata, spec, below, arguments, placeholder)
    templates = Templates(known, placeholder, ("workflow.parameters",) if template else ())
    if entrypoint:
        drive(templates.check_call({"template": entrypoint}, context, None if template else arguments))
    if on_exit:
        templates.known["workflow.failures"] = placeholder()
        if _names_artifacts_late(below):
            templates.known["workflow.outputs.artifacts.*"] = placeholder()
        drive(templates.check_call({"template": on_exit}, context, spec.get("arguments") or {}))
    check_hooks("hooks", spec.get("hooks"))
    pod_gc = spec.get("podGC") or {}
    strategy = pod_gc.get("strategy") or ""
    if strategy not in _POD_GC:
        raise InvalidSpec(f"podGC.strategy unknown strategy '{strategy}', expected {' or '.join(_POD_GC[1:])}")
    check_selector("podGC.labelSelector", pod_gc.get("labelSelector"))
    for name in context.names():
        try:
            drive(templates.check_call({"template": name}, context, None))
        except InvalidSpec as error:
            raise InvalidSpec(f"templates.{name} {error}") from error


def _names_artifacts_late(spec: Document) -> bool:
    """Whether some global artifact has a name that is not known before it runs."""
    return any(
        is_parameter(artifact.get("globalName") or "")
        for template in spec.get("templates") or ()
        for artifact in (template.get("outputs") or {}).get("artifacts") or ()
    )


def _known(
    metadata: Document, spec: Document, below: Document, arguments: Document, placeholder: Placeholders
) -> Scope:
    """The variables `workflow.*` that exist before anything runs."""
    names = {f"workflow.{field}" for field in ("name", "namespace", "mainEntrypoint", "serviceAccountName")}
    names.update(("workflow.uid", "workflow.status"))
    added = [each.get("workflowMetadata") or {} for each in (spec, below)]
    for kind in ("annotations", "labels"):
        names.update((f"workflow.{kind}", f"workflow.{kind}.json"))
        sources = [metadata.get(kind), *(each.get(kind) for each in added)]
        if kind == "labels":
            sources += [each.get("labelsFrom") for each in added]
        for source in sources:
            names.update(f"workflow.{kind}.{name}" for name in source or ())
    parameters = arguments.get("parameters") or ()
    if parameters:
        names.update(("workflow.parameters", "workflow.parameters.json"))
    known = Scope(values={name: placeholder() for name in sorted(names)})
    for parameter in parameters:
        value = parameter.get("value")
        known[f"workflow.parameters.{parameter['name']}"] = placeholder() if value is None else text_of(value)
    if spec.get("priority") is not None:
        known["workflow.priority"] = text_of(spec["priority"])
    return known
