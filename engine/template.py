"""Templates, compiled once per workflow: what a node is made from, and where the names inside it resolve.

A template's text is split at its tags when the workflow is first reconciled, so making a node costs a join and not a
parse. Templates of WorkflowTemplates resolve local names inside the template they stand in (Argo's template scope).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from engine.node import DAG, POD, STEPS
from engine.substitution import Text, compile_json

Document = Mapping[str, Any]

KINDS: Final = {
    "container": POD,
    "script": POD,
    "containerSet": POD,
    "resource": POD,
    "data": POD,
    "steps": STEPS,
    "dag": DAG,
    "suspend": "Suspend",
    "http": "HTTP",
    "plugin": "Plugin",
}
"""The field that says what a template does, and the type its node has for it (Argo's GetNodeType)."""

LOOPS: Final = ("withItems", "withParam", "withSequence")


# How one step or task names another: ``steps.a.outputs``, ``tasks['b-c'].status``, in tags and expressions alike.
_MENTION: Final = re.compile(r"""\b(?:steps|tasks)(?:\.([\w-]+)|\[\\*['"]([^'"\\]+))""")


_NAME: Final = re.compile(r"[\w.-]+")


def mentions(document: object) -> frozenset[str]:
    """The steps and tasks whose variables a document may read."""
    text = orjson.dumps(document).decode()
    return frozenset(dotted or quoted for dotted, quoted in _MENTION.findall(text))


_TAG: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def call_text(call: Document) -> Text:
    """A step, task or hook as a call, compiled. What artifacts are taken `from` is a reference and no text to fill in:
    it loses its braces and is looked up where the call is made."""
    arguments = call.get("arguments") or {}
    if arguments.get("artifacts"):
        artifacts = [
            {**each, "from": _TAG.sub(r"\1", each["from"])} if each.get("from") else each
            for each in arguments["artifacts"]
        ]
        call = {**call, "arguments": {**arguments, "artifacts": artifacts}}
    return compile_json(call)


class InvalidTemplate(Exception):
    """A template, or a reference to one, that Argo would reject; the message says why in one line."""


class Step:
    """One step of a steps template or one task of a DAG: a call of a template, compiled.

    ``call`` is what each of its invocations is made from; ``loop`` what is expanded before, None for a plain step.
    """

    __slots__ = ("call", "continue_on", "document", "hooks", "item_keys", "loop", "mentions", "name")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name: str = document["name"]
        loop = {key: document[key] for key in LOOPS if document.get(key) is not None}
        self.loop: Text | None = compile_json(loop) if loop else None
        skipped = {*LOOPS, "depends", "dependencies", "hooks", "onExit", "continueOn"}
        self.call: Text = call_text({key: value for key, value in document.items() if key not in skipped})
        self.item_keys = tuple(sorted(tag[5:] for tag in self.call.tags if tag.startswith("item.")))
        """The keys that every item of the loop must have."""
        self.continue_on: Document = document.get("continueOn") or {}
        self.mentions = mentions(document)
        hooks = {name: hook for name, hook in (document.get("hooks") or {}).items() if hook is not None}
        if document.get("onExit"):
            hooks.setdefault("exit", {"template": document["onExit"]})
        self.hooks: dict[str, Document] = hooks

    def continues_on(self, phase: str) -> bool:
        """Whether this step's failure in `phase` is none of its parent's (Argo's ContinueOn)."""
        return bool(self.continue_on.get("error" if phase == "Error" else "failed")) and phase in ("Error", "Failed")


class Template:
    """One template, compiled. ``context`` is where the names inside it resolve."""

    def __init__(self, document: Document, context: Context) -> None:
        self.document = document
        self.context = context
        self.name: str = document.get("name") or ""
        kinds = [kind for kind in KINDS if document.get(kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) if kinds else "none"
            raise InvalidTemplate(f"template {self.name!r} must have exactly one of {', '.join(KINDS)}: found {found}")
        self.kind = kinds[0]
        self.node_type = KINDS[self.kind]
        inputs = document.get("inputs") or {}
        self.parameters: list[Document] = inputs.get("parameters") or []
        self.artifacts: list[Document] = inputs.get("artifacts") or []
        self.inputs: Text = compile_json({"parameters": self.parameters, "artifacts": self.artifacts})
        self.outputs: Document = document.get("outputs") or {}
        self.declared: Text = compile_json(self.outputs)
        self.text: Text = compile_json(document)
        body = {"steps", "dag", "outputs", "inputs", "container", "script", "resource"}
        read_later = {"metrics", "outputs", "inputs", "retryStrategy", "memoize", "steps", "dag", "hooks"}
        running = compile_json({key: value for key, value in document.items() if key not in read_later})
        self.required = tuple(sorted(tag for tag in running.tags if _NAME.fullmatch(tag))) if self.is_leaf else ()
        """The variables without which a leaf cannot run."""
        self.settings: Text = compile_json({key: value for key, value in document.items() if key not in body})
        self.steps: list[list[Step]] = [[Step(step) for step in group] for group in document.get("steps") or ()]
        self.dag: Document = document.get("dag") or {}
        self.tasks: list[Step] = [Step(task) for task in self.dag.get("tasks") or ()]
        self.mentions = mentions(document)
        self.display_name: str | None = (document.get("annotations") or {}).get("workflows.argoproj.io/display-name")
        self.parallelism: int | None = document.get("parallelism")
        self.fail_fast: bool = bool(document.get("failFast"))
        self.fixed: dict[str, str] = {
            f"{side}.{kind}.{item['name']}.path": item["path"]
            for side, kinds_ in (("inputs", ("artifacts",)), ("outputs", ("artifacts", "parameters")))
            for kind in kinds_
            for item in (document.get(side) or {}).get(kind) or ()
            for item in ({**item, "path": item.get("path") or (item.get("valueFrom") or {}).get("path")},)
            if item["path"]
        }
        """Variables that the template itself defines, whoever calls it: paths of artifacts and parameters."""

    @property
    def is_leaf(self) -> bool:
        """Whether a node made from this template has no children that the engine reconciles."""
        return self.kind not in ("steps", "dag")

    @property
    def is_pod(self) -> bool:
        """Whether a node made from this template counts as a pod against parallelism."""
        return self.node_type == POD


class Context:
    """Where template names resolve: the workflow itself, or the WorkflowTemplate that holds the referring template.

    ``scope`` is Argo's templateScope: ``local/<workflow>``, ``namespaced/<name>`` or ``cluster/<name>``.
    """

    def __init__(self, scope: str, templates: list[Document], defaults: Document, library: Library) -> None:
        self.scope = scope
        self.library = library
        self.defaults = defaults
        self._documents: dict[str, Document] = {
            template["name"]: template for template in templates if "name" in template
        }
        self._compiled: dict[str, Template] = {}

    def names(self) -> list[str]:
        """The templates defined here, in order."""
        return list(self._documents)

    def resolve(self, reference: Document) -> Template:
        """The template that a step, task or hook calls: by local name, `templateRef`, or inline.

        Raises `InvalidTemplate` where there is no such template.
        """
        inline = reference.get("inline")
        if inline is not None:
            key = f"inline:{orjson.dumps(inline).decode()}"
            if key not in self._compiled:
                self._compiled[key] = Template(merge_defaults(inline, self.defaults), self)
            return self._compiled[key]
        if reference.get("templateRef"):
            ref = reference["templateRef"]
            context = self.library.context(ref.get("name") or "", cluster=bool(ref.get("clusterScope")))
            return context.local(ref.get("template") or "")
        return self.local(reference.get("template") or "")

    def local(self, name: str) -> Template:
        """The template `name` of this very document."""
        compiled = self._compiled.get(name)
        if compiled is None:
            document = self._documents.get(name)
            if document is None:
                raise InvalidTemplate(f"template name '{name}' undefined")
            compiled = self._compiled[name] = Template(merge_defaults(document, self.defaults), self)
        return compiled


class Library:
    """The WorkflowTemplates and ClusterWorkflowTemplates that workflows may refer to, by name."""

    def __init__(
        self,
        workflow_templates: Mapping[str, Document] | None = None,
        cluster_workflow_templates: Mapping[str, Document] | None = None,
    ) -> None:
        self._documents = {False: workflow_templates or {}, True: cluster_workflow_templates or {}}
        self._contexts: dict[tuple[bool, str], Context] = {}

    def spec(self, name: str, *, cluster: bool) -> Document:
        """The `spec` of one (Cluster)WorkflowTemplate. Raises `InvalidTemplate` where it is not known."""
        document = self._documents[cluster].get(name)
        if document is None:
            kind = "clusterworkflowtemplates" if cluster else "workflowtemplates"
            raise InvalidTemplate(f'{kind}.argoproj.io "{name}" not found')
        spec: Document = document.get("spec") or {}
        return spec

    def context(self, name: str, *, cluster: bool) -> Context:
        """Where the names inside that template's templates resolve."""
        key = (cluster, name)
        if key not in self._contexts:
            spec = self.spec(name, cluster=cluster)
            scope = f"{'cluster' if cluster else 'namespaced'}/{name}"
            templates = list(spec.get("templates") or ())
            self._contexts[key] = Context(scope, templates, spec.get("templateDefaults") or {}, self)
        return self._contexts[key]


def merge_defaults(document: Document, defaults: Document) -> Document:
    """`templateDefaults` under a template: the template's own fields win, maps merge, lists and scalars replace.

    Defaults that would change what kind of template it is (a `container` for a `script`) do not apply, as in Argo,
    where merging them would make the template invalid.
    """
    if not defaults:
        return document
    own = [kind for kind in KINDS if document.get(kind) is not None]
    merged = {key: value for key, value in defaults.items() if key not in KINDS or key in own}
    return _merge(merged, document)


def _merge(base: Document, over: Document) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
