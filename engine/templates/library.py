"""Where template names resolve: in the workflow itself, or in the WorkflowTemplate that holds the referring template.

A template of a WorkflowTemplate resolves local names inside the document it stands in (Argo's template scope).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Final
from weakref import WeakValueDictionary

import orjson

from engine.model.large import is_large
from engine.model.sharing import Shared
from engine.shape import Document, WrongType, check_shape
from engine.substitution.text import SubstitutionError
from engine.templates.merging import merge_defaults
from engine.templates.template import InvalidTemplate, Template

NONE: Final[Document] = MappingProxyType({})
"""A mapping with nothing in it."""

_SHARED: Final = 1 << 20
_VERDICTS: Final = 1 << 14
"""Bytes of JSON for which templates are kept compiled for the next workflow, and verdicts on what is beside them."""
_LARGE: Final = 1000
"""Templates, steps and tasks from which on there is no looking for others like them."""


def has_many_calls(spec: Document) -> bool:
    """Whether a spec's own templates, with the steps and tasks in them, are so many that few workflows have the same,
    and that going through them takes its time."""
    templates = spec.get("templates") or ()
    calls = (each.get("steps") or (each.get("dag") or {}).get("tasks") or () for each in templates)
    return len(templates) + sum(map(len, calls)) > _LARGE


class Context:
    """The templates of one document, compiled as they are asked for.

    ``library`` has those that they may refer to. ``scope`` is Argo's templateScope: ``namespaced/<name>`` or
    ``cluster/<name>``, and empty for workflows' own templates, since all workflows that have the same ones share them.
    """

    def __init__(
        self, scope: str, spec: Document, defaults: Document, library: Library, *, lasting: bool = True
    ) -> None:
        self.scope = scope
        self.lasting = lasting
        """Whether it is there for more than one workflow, so that it is worth to remember what was found."""
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

    def compile(self) -> None:
        """Have the templates ready that are defined here."""
        for name in self._documents:
            with suppress(InvalidTemplate):  # said when it is called
                self.local(name)

    def _compile(self, document: Document) -> Template:
        try:
            return Template(merge_defaults(document, self.defaults), self)
        except SubstitutionError as error:
            raise InvalidTemplate(f"templates.{document.get('name') or ''}: {error}") from error


class Library:
    """The WorkflowTemplates of one namespace and the ClusterWorkflowTemplates, by name, as they are at one moment.

    It never changes: where one of them does, whoever refers to it from then on is given another library
    (`engine.templates.catalog`). ``defaults`` are merged into every template taken from it: Argo merges the
    `templateDefaults` of the workflow that runs, never those of the document that the template stands in.
    ``elsewhere`` tells the namespaces which have a WorkflowTemplate of a name, for who looks for it in the wrong one,
    ``large`` that another thread is to go through what may be among all that.
    """

    def __init__(
        self,
        workflow_templates: Mapping[str, Document] = NONE,
        cluster_workflow_templates: Mapping[str, Document] = NONE,
        defaults: Document = NONE,
        elsewhere: Callable[[str], Sequence[str]] = lambda name: (),
        *,
        large: bool = False,
    ) -> None:
        self.large = large
        self._documents = {False: workflow_templates, True: cluster_workflow_templates}
        self._defaults = defaults
        self._elsewhere = elsewhere
        self._contexts: dict[tuple[bool, str], Context] = {}
        self._checked: set[tuple[bool, str]] = set()
        self._local: Shared[Context] = Shared(_SHARED)

    def local(self, spec: Document) -> Context:
        """Where the names in a workflow's own templates resolve, `spec` being the one in force."""
        templates, defaults = spec.get("templates") or (), spec.get("templateDefaults") or {}
        own = {"templates": templates, "templateDefaults": defaults}
        lasting = not has_many_calls(spec)

        def make(own: Document) -> Context:
            library = self.with_defaults(own["templateDefaults"])
            return Context("", own, own["templateDefaults"], library, lasting=lasting)

        return self._local.get(own, make) if lasting else make(own)

    def __bool__(self) -> bool:
        """Whether there is anything to refer to."""
        return any(self._documents.values())

    def with_defaults(self, defaults: Document) -> Library:
        """The same library for a workflow with `templateDefaults`; without any, this very one and what it compiled."""
        if not defaults:
            return self
        return Library(self._documents[False], self._documents[True], defaults, self._elsewhere, large=self.large)

    def with_stored(self, stored: Mapping[tuple[bool, str], Document]) -> Library:
        """The same library for a workflow that has some of it in its status: ``stored`` are specs by what they are of
        (whether that is cluster-scoped, and its name), and templates which are not among theirs are this library's."""
        if not stored:
            return self
        shelves = {cluster: dict(shelf) for cluster, shelf in self._documents.items()}
        for (cluster, name), spec in stored.items():
            try:
                below = self.spec(name, cluster=cluster)
            except InvalidTemplate:  # it is not there any more, or not what it was
                below = NONE
            templates = {each.get("name"): each for each in (*(below.get("templates") or ()), *spec["templates"])}
            shelves[cluster][name] = {"spec": {**below, **spec, "templates": [*templates.values()]}}
        large = self.large or is_large([*stored.values()])
        return Library(shelves[False], shelves[True], self._defaults, self._elsewhere, large=large)

    def document(self, name: str, *, cluster: bool) -> Document:
        """One (Cluster)WorkflowTemplate. Raises `InvalidTemplate` where it is not known."""
        document = self._documents[cluster].get(name)
        kind = "clusterworkflowtemplates" if cluster else "workflowtemplates"
        if document is None:
            others = () if cluster else self._elsewhere(name)
            hint = f": there is one in namespace {' and '.join(others)}, and it is looked for in the workflow's own"
            raise InvalidTemplate(f'{kind}.argoproj.io "{name}" not found{hint if others else ""}')
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

    def contexts(self) -> Iterator[Context]:
        """Those of all templates that are well formed."""
        for cluster, documents in self._documents.items():
            for name in documents:
                with suppress(InvalidTemplate):
                    yield self.context(name, cluster=cluster)

    def context(self, name: str, *, cluster: bool) -> Context:
        """Where the names inside that template's templates resolve."""
        key = (cluster, name)
        if key not in self._contexts:
            scope = f"{'cluster' if cluster else 'namespaced'}/{name}"
            self._contexts[key] = Context(scope, self.spec(name, cluster=cluster), self._defaults, self)
        return self._contexts[key]
