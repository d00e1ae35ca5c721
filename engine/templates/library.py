"""Where template names resolve: in the workflow itself, or in the WorkflowTemplate that holds the referring template.

A template of a WorkflowTemplate resolves local names inside the document it stands in (Argo's template scope).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, TypeGuard
from weakref import WeakValueDictionary

import orjson

from engine.shape import WrongType, check_shape
from engine.substitution.text import SubstitutionError
from engine.templates.kinds import KINDS
from engine.templates.sharing import Shared
from engine.templates.template import InvalidTemplate, Template

Document = Mapping[str, Any]

_SHARED: Final = 1 << 20
_VERDICTS: Final = 1 << 14
"""Bytes of JSON for which templates are kept compiled for the next workflow, and verdicts on what is beside them."""
_LARGE: Final = 1000
"""Templates, steps and tasks from which on there is no looking for others like them."""


class Context:
    """The templates of one document, compiled as they are asked for.

    ``scope`` is Argo's templateScope: ``namespaced/<name>`` or ``cluster/<name>``, and empty for workflows' own
    templates, since all workflows that have the same ones share them.
    """

    def __init__(self, scope: str, spec: Document, defaults: Document, library: Library) -> None:
        self.scope = scope
        self.spec = spec
        self.library = library
        self.defaults = defaults
        """The `templateDefaults` of the workflow that runs, which its templates get."""
        self.own_defaults: Document = spec.get("templateDefaults") or {}
        """Those of this very document."""
        self._documents: dict[str, Document] = {
            template["name"]: template for template in spec.get("templates") or () if template.get("name")
        }
        self._compiled: dict[str, Template] = {}
        # A loop may make an inline template of its own for every item.
        self._inline: WeakValueDictionary[bytes, Template] = WeakValueDictionary()
        self.valid: Shared[None] = Shared(_VERDICTS)
        """The specs and metadata of workflows with these templates in which there is nothing that Argo would refuse."""

    @property
    def cluster(self) -> bool:
        """Whether the document is a ClusterWorkflowTemplate."""
        return self.scope.startswith("cluster/")

    def names(self) -> list[str]:
        """The templates defined here, in order."""
        return list(self._documents)

    def resolve(self, reference: Document) -> Template:
        """The template that a step, task or hook calls: by local name, `templateRef`, or inline.

        Raises `InvalidTemplate` where there is no such template.
        """
        inline = reference.get("inline")
        if inline:
            key = orjson.dumps(inline)
            template = self._inline.get(key)
            if template is None:
                template = self._inline[key] = self._compile(inline)
            return template
        if reference.get("templateRef"):
            ref = reference["templateRef"]
            context = self.library.context(ref.get("name") or "", cluster=bool(ref.get("clusterScope")))
            return context.local(ref.get("template") or "")
        return self.local(reference.get("template") or "")

    def document(self, name: str) -> Document:
        """The template `name` of this very document as it was written. Raises `InvalidTemplate`."""
        document = self._documents.get(name)
        if document is None:
            raise InvalidTemplate(f"template name '{name}' undefined")
        return document

    def local(self, name: str) -> Template:
        """The template `name` of this very document."""
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = self._compile(self.document(name))
        return compiled

    def _compile(self, document: Document) -> Template:
        try:
            return Template(merge_defaults(document, self.defaults), self)
        except SubstitutionError as error:
            raise InvalidTemplate(f"templates.{document.get('name') or ''}: {error}") from error


class Library:
    """The WorkflowTemplates and ClusterWorkflowTemplates that workflows may refer to, by name.

    ``defaults`` are merged into every template taken from it: Argo merges the `templateDefaults` of the workflow that
    runs, never those of the document that the template stands in.
    """

    def __init__(
        self,
        workflow_templates: Mapping[str, Document] | None = None,
        cluster_workflow_templates: Mapping[str, Document] | None = None,
        defaults: Document | None = None,
    ) -> None:
        self._documents = {False: workflow_templates or {}, True: cluster_workflow_templates or {}}
        self._defaults = defaults or {}
        self._contexts: dict[tuple[bool, str], Context] = {}
        self._checked: set[tuple[bool, str]] = set()
        self._local: Shared[Context] = Shared(_SHARED)

    def local(self, spec: Document) -> Context:
        """Where the names in a workflow's own templates resolve, `spec` being the one in force."""
        templates, defaults = spec.get("templates") or (), spec.get("templateDefaults") or {}
        own = {"templates": templates, "templateDefaults": defaults}

        def make(own: Document) -> Context:
            return Context("", own, own["templateDefaults"], self.with_defaults(own["templateDefaults"]))

        calls = (each.get("steps") or (each.get("dag") or {}).get("tasks") or () for each in templates)
        return make(own) if len(templates) + sum(map(len, calls)) > _LARGE else self._local.get(own, make)

    def with_defaults(self, defaults: Document) -> Library:
        """The same library for a workflow with `templateDefaults`; without any, this very one and what it compiled."""
        if not defaults:
            return self
        return Library(self._documents[False], self._documents[True], defaults)

    def document(self, name: str, *, cluster: bool) -> Document:
        """One (Cluster)WorkflowTemplate. Raises `InvalidTemplate` where it is not known."""
        document = self._documents[cluster].get(name)
        kind = "clusterworkflowtemplates" if cluster else "workflowtemplates"
        if document is None:
            raise InvalidTemplate(f'{kind}.argoproj.io "{name}" not found')
        if (cluster, name) not in self._checked:
            try:
                check_shape(document)
            except WrongType as error:
                raise InvalidTemplate(f'{kind}.argoproj.io "{name}": {error}') from error
            self._checked.add((cluster, name))
        return document

    def spec(self, name: str, *, cluster: bool) -> Document:
        """The `spec` of one (Cluster)WorkflowTemplate. Raises `InvalidTemplate` where it is not known."""
        spec: Document = self.document(name, cluster=cluster).get("spec") or {}
        return spec

    def context(self, name: str, *, cluster: bool) -> Context:
        """Where the names inside that template's templates resolve."""
        key = (cluster, name)
        if key not in self._contexts:
            scope = f"{'cluster' if cluster else 'namespaced'}/{name}"
            self._contexts[key] = Context(scope, self.spec(name, cluster=cluster), self._defaults, self)
        return self._contexts[key]


_KEYS: Final = {
    **dict.fromkeys(("parameters", "artifacts", "volumes", "sidecars", "initContainers", "env"), "name"),
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "tolerations": "key",
    "hostAliases": "ip",
}
"""The lists that Kubernetes merges entry by entry, each by this field; all others replace one another."""


def merge_defaults(document: Document, defaults: Document) -> Document:
    """`templateDefaults` under a template: the template's own fields win, maps merge, lists and scalars replace.

    Defaults that would change what kind of template it is (a `container` for a `script`) do not apply, as in Argo,
    where merging them would make the template invalid.
    """
    if not defaults:
        return document
    own = [kind for kind in KINDS if document.get(kind) is not None]
    return merge({key: value for key, value in defaults.items() if key not in KINDS or key in own}, document)


def merge(base: Document, over: Document) -> dict[str, Any]:
    """`over` on top of `base` as a strategic merge patch; what is empty in `over` is, to Go, not there at all."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if below is not None and (value is None or value == "" or value == []):
            continue
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merge(below, value)
        elif key in _KEYS and _are_entries(below) and _are_entries(value):
            result[key] = _merge_entries(below, value, _KEYS[key])
        else:
            result[key] = value
    return result


def _are_entries(value: object) -> TypeGuard[list[Document]]:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _merge_entries(base: list[Document], over: list[Document], field: str) -> list[Document]:
    """The entries of both in the order of `over`, and each that only `base` has before the first that came after it
    there (Kubernetes' mergeSortedSlice)."""
    places = {str(each.get(field)): place for place, each in enumerate(base)}
    own = {str(each.get(field)) for each in over}
    rest = deque(place for key, place in places.items() if key not in own)
    merged: list[Document] = []
    for each in over:
        place = places.get(str(each.get(field)), -1)
        while rest and rest[0] < place:
            merged.append(base[rest.popleft()])
        merged.append(merge(base[place], each) if place >= 0 else each)
    return [*merged, *(base[place] for place in rest)]
