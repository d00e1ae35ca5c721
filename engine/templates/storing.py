"""What a workflow refers to, kept in its own status (Argo's stored templates): it goes on with that, whatever changes.

``status.storedTemplates`` has templates of (Cluster)WorkflowTemplates, as in ``namespaced/NAME/TEMPLATE``, and
``status.storedWorkflowTemplateSpec`` the spec in force of a workflow with a `workflowTemplateRef`. Argo stores a
template once a node of it comes to be; here all that may be called are stored when the workflow begins. Only what a
reference leads to whose name is computed at runtime is not known by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from engine.shape import Document
from engine.templates.library import Context, Library
from engine.templates.template import InvalidTemplate


def with_stored(document: dict[str, Any], spec: Document, context: Context) -> dict[str, Any]:
    """The workflow with what it refers to in its status: `spec` is the one in force, `context` that of its names."""
    fields: dict[str, Any] = {}
    if document["spec"].get("workflowTemplateRef"):
        fields["storedWorkflowTemplateSpec"] = spec
    templates = _reachable(spec, context) if context.library else {}
    if templates:
        fields["storedTemplates"] = templates
    return {**document, "status": {**document["status"], **fields}} if fields else document


def library_of(document: Document, library: Library) -> Library:
    """The library of a workflow that may have begun: what it has stored counts for more than what is there now."""
    status, reference = document["status"], document["spec"].get("workflowTemplateRef")
    stored: dict[tuple[bool, str], dict[str, Any]] = {}
    if reference and status.get("storedWorkflowTemplateSpec"):
        spec = status["storedWorkflowTemplateSpec"]
        place = bool(reference.get("clusterScope")), reference.get("name") or ""
        stored[place] = {**spec, "templates": list(spec.get("templates") or ())}
    for key, template in (status.get("storedTemplates") or {}).items():
        scope, _, rest = key.partition("/")
        name = rest.partition("/")[0]
        stored.setdefault((scope == "cluster", name), {"templates": []})["templates"].append(template)
    return library.with_stored(stored)


def callable_templates(spec: Document, context: Context) -> Iterator[Document]:
    """Each template that a workflow may come to call, inline ones included, as it was written: its own, and those of
    the library that they lead to, which are all of it where a name is computed at runtime."""
    own = map(context.document, context.names())
    for template in chain(own, _reachable(spec, context, computed=True).values()):
        yield template
        yield from (call["inline"] for call in _calls(template) if call.get("inline"))


def _reachable(spec: Document, context: Context, *, computed: bool = False) -> dict[str, Document]:
    """All templates of the library that may be called, in the order in which they are come upon.

    Where the name of a document is only known at runtime that is none, or all of it with ``computed``."""
    found: dict[str, Document] = {}
    own = (call for name in context.names() for call in _calls(context.document(name)))
    left = deque([(context, chain(_hooks(spec), own))])
    while left:
        caller, calls = left.popleft()
        for called, name in chain.from_iterable(_named(caller, call, computed=computed) for call in calls):
            key = f"{called.scope}/{name}"
            if called is context or key in found:
                continue
            try:
                found[key] = called.document(name)
            except InvalidTemplate:
                continue
            left.append((called, chain(_calls(found[key]))))
    return found


def _named(context: Context, call: Document, *, computed: bool) -> Iterator[tuple[Context, str]]:
    """The templates that a call may mean; all of a document where which one it is will only be known at runtime."""
    reference, name = call.get("templateRef"), call.get("template") or ""
    if reference and "{{" not in (reference.get("name") or ""):
        name = reference.get("template") or ""
        try:
            context = context.library.context(reference.get("name") or "", cluster=bool(reference.get("clusterScope")))
        except InvalidTemplate:
            return
    elif reference:
        everywhere = context.library.contexts() if computed else ()
        yield from ((each, name) for each in everywhere for name in each.names())
        return
    for each in context.names() if "{{" in name else [name] if name else ():
        yield context, each


def _calls(template: Document) -> Iterator[Document]:
    steps = [step for group in template.get("steps") or () for step in group or ()]
    for step in (*steps, *((template.get("dag") or {}).get("tasks") or ())):
        yield step
        yield from _hooks(step)
        yield from _calls(step.get("inline") or {})


def _hooks(caller: Document) -> Iterator[Document]:
    """The lifecycle hooks and the exit handler of a workflow, a step or a task."""
    yield from (hook for hook in (caller.get("hooks") or {}).values() if hook)
    if caller.get("onExit"):
        yield {"template": caller["onExit"]}
