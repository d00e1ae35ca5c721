"""The spec in force for a workflow, and whether Argo would take it: one line of reason where it would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.expressions import ExpressionError
from engine.graph.dag import dependencies
from engine.substitution import SubstitutionError
from engine.template import Context, InvalidTemplate, Library, Step, Template

Document = Mapping[str, Any]


class InvalidSpec(Exception):
    """A spec that Argo would refuse; the message is what follows ``invalid spec:`` in status.message."""


def spec_in_force(document: Document, library: Library) -> Document:
    """A workflow's spec, over that of the WorkflowTemplate it refers to (Argo's JoinWorkflowSpec).

    Raises `InvalidSpec` where the reference leads nowhere.
    """
    spec: Document = document["spec"]
    reference = spec.get("workflowTemplateRef")
    if not reference:
        return spec
    try:
        below = library.spec(reference.get("name") or "", cluster=bool(reference.get("clusterScope")))
    except InvalidTemplate as error:
        raise InvalidSpec(str(error)) from error
    merged = {**below, **{key: value for key, value in spec.items() if value not in (None, "", [], {})}}
    merged["arguments"] = _arguments(below.get("arguments") or {}, spec.get("arguments") or {})
    merged["templates"] = below.get("templates") or []
    for field in ("hooks", "templateDefaults"):
        if below.get(field) and spec.get(field):
            merged[field] = {**below[field], **spec[field]}
    return merged


def _arguments(below: Document, above: Document) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for kind in ("parameters", "artifacts"):
        named = {entry["name"]: entry for entry in below.get(kind) or ()}
        named.update({entry["name"]: {**named.get(entry["name"], {}), **entry} for entry in above.get(kind) or ()})
        merged[kind] = list(named.values())
    return merged


def context_of(document: Document, spec: Document, library: Library) -> Context:
    """Where the names in the workflow's own templates resolve."""
    reference = document["spec"].get("workflowTemplateRef")
    if reference:
        return library.context(reference["name"], cluster=bool(reference.get("clusterScope")))
    return Context(
        f"local/{document['metadata']['name']}",
        list(spec.get("templates") or ()),
        spec.get("templateDefaults") or {},
        library,
    )


def validate(spec: Document, context: Context) -> None:
    """Refuse what Argo's validation refuses, for all templates that the entrypoint or an exit handler can reach.

    Raises `InvalidSpec`.
    """
    _check_shape(spec)
    entrypoint = spec.get("entrypoint")
    if not entrypoint:
        raise InvalidSpec("spec.entrypoint is required")
    hooks = [hook for hook in (spec.get("hooks") or {}).values() if hook]
    calls: list[Document] = [{"template": entrypoint}, *hooks]
    if spec.get("onExit"):
        calls.append({"template": spec["onExit"]})
    seen: set[int] = set()
    stack: list[tuple[str, Document, Context]] = [("spec", call, context) for call in reversed(calls)]
    while stack:
        place, call, where = stack.pop()
        try:
            if _dynamic(call):
                continue
            template = where.resolve(call)
            if id(template) not in seen:
                seen.add(id(template))
                stack.extend(_check_template(template))
        except (InvalidTemplate, SubstitutionError, ExpressionError) as error:
            raise InvalidSpec(f"{place}: {error}") from error


def _dynamic(call: Document) -> bool:
    reference = call.get("templateRef") or {}
    return any("{{" in str(name) for name in (call.get("template"), reference.get("name"), reference.get("template")))


def _check_shape(spec: Document) -> None:
    templates = spec.get("templates") or []
    if not isinstance(templates, list):
        raise InvalidSpec(f"spec.templates: expected a list, got {type(templates).__name__}")
    names: set[str] = set()
    for index, template in enumerate(templates):
        if not isinstance(template, dict):
            raise InvalidSpec(f"spec.templates[{index}]: expected a mapping, got {type(template).__name__}")
        name = template.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidSpec(f"spec.templates[{index}].name: expected a name, got {name!r}")
        if name in names:
            raise InvalidSpec(f"spec.templates[{index}].name '{name}' is not unique")
        names.add(name)


def _check_template(template: Template) -> Iterator[tuple[str, Document, Context]]:
    place = f"templates.{template.name}"
    _check_names(f"{place}.inputs.parameters", template.parameters)
    steps: list[tuple[str, Step]] = []
    if template.kind == "steps":
        for index, group in enumerate(template.steps):
            steps.extend((f"{place}.steps[{index}].{step.name}", step) for step in group)
        _check_names(f"{place}.steps", [step.document for _, step in steps])
    elif template.kind == "dag":
        _check_names(f"{place}.dag.tasks", [task.document for task in template.tasks])
        steps.extend((f"{place}.tasks.{task.name}", task) for task in template.tasks)
        _check_dag(place, template)
    for where, step in steps:
        yield where, step.document, template.context
        for name, hook in step.hooks.items():
            yield f"{where}.hooks.{name}", hook, template.context


def _check_names(place: str, documents: list[Document]) -> None:
    seen: set[str] = set()
    for index, document in enumerate(documents):
        name = document.get("name")
        if not name:
            raise InvalidTemplate(f"{place}[{index}].name is required")
        if name in seen:
            raise InvalidTemplate(f"{place}[{index}].name '{name}' is not unique")
        seen.add(name)


def _check_dag(place: str, template: Template) -> None:
    names = {task.name for task in template.tasks}
    for task in template.tasks:
        if task.document.get("depends") and task.document.get("dependencies"):
            raise InvalidTemplate(f"{place}.tasks.{task.name}: cannot use both 'depends' and 'dependencies'")
        if task.document.get("depends") and task.continue_on:
            raise InvalidTemplate(f"{place}.tasks.{task.name}: cannot use 'continueOn' when using 'depends'")
    parents = {name: [] if each is None else list(each.tasks) for name, each in dependencies(template).items()}
    for name, wanted in parents.items():
        for parent in wanted:
            if parent not in names:
                raise InvalidTemplate(f"{place}.tasks.{name} dependency '{parent}' not defined")
    target = template.dag.get("target") or ""
    for name in target.split() if "{{" not in target else ():
        if name not in names:
            raise InvalidTemplate(f"{place}.targets target '{name}' is not defined")
    _check_cycle(place, parents)


def _check_cycle(place: str, parents: Mapping[str, list[str]]) -> None:
    done: set[str] = set()
    for root in parents:
        path: list[str] = []
        on_path: set[str] = set()
        stack = [(root, iter(parents[root]))] if root not in done else []
        if stack:
            path.append(root)
            on_path.add(root)
        while stack:
            name, rest = stack[-1]
            parent = next(rest, None)
            if parent is None:
                stack.pop()
                path.pop()
                on_path.discard(name)
                done.add(name)
            elif parent in on_path:
                cycle = [*path[path.index(parent) :], parent]
                raise InvalidTemplate(f"{place}.tasks dependency cycle detected: {'->'.join(cycle)}")
            elif parent not in done:
                stack.append((parent, iter(parents[parent])))
                path.append(parent)
                on_path.add(parent)
