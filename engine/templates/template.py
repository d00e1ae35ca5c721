"""Templates, compiled once per workflow: what a node is made from.

A template's text is split at its tags when the workflow is first reconciled, so making a node costs a join and not a
parse. Where the names inside a template resolve is `engine.templates.library`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, Final, Protocol

import msgspec
import orjson

from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import NO_NAMES, Text, compile_json
from engine.substitution.variables import text_of
from engine.templates.kinds import KINDS, Kind

LOOPS: Final = ("withItems", "withParam", "withSequence")

DISPLAY_NAME: Final = "workflows.argoproj.io/display-name"

# How one step or task names another: ``steps.a.outputs``, ``tasks['b-c'].status``, in tags and expressions alike.
_MENTION: Final = re.compile(r"""\b(?:steps|tasks)(?:\.([\w-]+)|\[\\*['"]([^'"\\]+)\\*['"]\])(\.outputs\.result)?""")
_WORD: Final = re.compile(r"\b(?:steps|tasks)\b|\$env")
# One that never ends goes on to the end of the text, so that no other begins in it.
_EXPRESSION: Final = re.compile(
    r"""\{\{=(?:[^}]|\}(?!\}))*+(?:\}\}|\Z)|"(?:e|fromE)xpression":"(?:[^"\\]|\\.)*+(?:"|\Z)"""
)
_COMPUTED: Final = re.compile(r"""\$env|\b(?:steps|tasks)\b(?!\.[\w-]|\[\\*['"])""")
# One whose name another tag completes, `{{tasks.{{inputs.parameters.which}}.status}}`, or is, or is a part of.
_COMPLETED: Final = re.compile(
    r"""\b(?:steps|tasks)(?:\.|\[\\*['"])[\w-]*\{\{|"(?:from|parameter)":"\{\{\s*(?:inputs|workflow)\.parameters|"""
    r""""(?:e|fromE)xpression":"(?:[^"\\{]|\\.|\{(?!\{))*+\{\{"""
)
_ITEM: Final = re.compile(r"\bitem\b")
# A tag without braces in it, of which the spaces are no part: what is between is stripped where it is taken.
_TAG: Final = re.compile(r"\{\{([^{}]+)\}\}")
# What a leaf may name that is text whenever it has a node: it was, or could not have been, when that was made.
_TEXT: Final = re.compile(
    r"(?:inputs|workflow)\.parameters\.[\w.-]+|workflow\.(?:name|namespace|uid)|(?:node|pod)\.name"
)


class Mentions:
    """The steps and tasks whose variables a document may read: those it names, and all where an expression computes
    which (`get(tasks, item).status`, `tasks?.a`, `$env`), or another tag says so. ``results`` are those whose
    `outputs.result` it names, the only ones that Argo captures (hasOutputResultRef); ``expressed`` says whether any
    stands in an expression."""

    __slots__ = ("_all", "_names", "expressed", "results")

    def __init__(self, document: object) -> None:
        text = orjson.dumps(document).decode()
        completed = "{{" in text and bool(_COMPLETED.search(text))
        if not completed and not _WORD.search(text):  # most mention none
            self._names = self.results = NO_NAMES
            self._all = self.expressed = False
            return
        found = _MENTION.findall(text)
        self._names = frozenset(dotted or quoted for dotted, quoted, _ in found)
        expressions = [expression[0] for expression in _EXPRESSION.finditer(text)]
        self._all = any(map(_COMPUTED.search, expressions)) or completed
        self.expressed = self._all or any(map(_MENTION.search, expressions))
        self.results = frozenset(dotted or quoted for dotted, quoted, result in found if result)

    def __contains__(self, name: str) -> bool:
        return self._all or name in self._names

    def among(self, names: Mapping[str, object]) -> list[str]:
        """Those of the names that are meant, in order."""
        return sorted(names if self._all else self._names & names.keys()) if self._all or self._names else []


def _unbraced(source: str) -> str:
    tag = _TAG.fullmatch(source.strip())
    return tag[1].strip() if tag and (".artifacts." in tag[1] or tag[1].startswith("=")) else source


def call_text(call: Document) -> Text:
    """A step, task or hook as a call, compiled. What artifacts are taken `from` is a reference, and no text to fill in:
    it loses its braces and is looked up where the call is made."""
    arguments = call.get("arguments") or {}
    if arguments.get("artifacts"):
        artifacts = [
            {**each, "from": _unbraced(each["from"])} if each.get("from") else each for each in arguments["artifacts"]
        ]
        call = {**call, "arguments": {**arguments, "artifacts": artifacts}}
    return compile_json(call)


class Plain(dict[str, Any]):
    """A call in which nothing is to be filled in. What comes of it is found once, and remembered here, where the
    template in which it stands is one that many workflows have."""

    __slots__ = ("bound", "document", "open", "reference", "template")

    def __init__(self, call: Document) -> None:
        super().__init__(call)
        self.reference: Document = {"template": self.get("template") or "", "templateRef": self.get("templateRef")}
        """What is still needed of it once its arguments are bound."""
        parameters = (self.get("arguments") or {}).get("parameters") or ()
        self.open = any(each.get("valueFrom") for each in parameters)
        """Whether what its arguments are depends on anything else."""
        self.template: Template | None = None
        """The one that it calls."""
        self.bound: tuple[msgspec.Raw | None, dict[str, Any]] | None = None
        """What its arguments come to, where that is the same each time: inputs and variables."""
        self.document: Document | None = None
        """The template filled in, where these variables are all that it names."""


_ARRANGED: Final = ("name", "depends", "dependencies")


def _arranged(call: Document, scope: Scope) -> Document:
    fields = compile_json({field: call[field] for field in _ARRANGED if call.get(field)})
    return {**call, **orjson.loads(fields.render(scope, allow_unresolved=True))}


def _is_derived(parameter: Document) -> bool:
    tags = compile_json([parameter.get("value"), parameter.get("default")]).tags
    return not all(tag.startswith("workflow.") for tag in tags)


class InvalidTemplate(Exception):
    """A template, or a reference to one, that Argo would reject; the message says why in one line."""


def kind_of(document: Document) -> Kind:
    """Which of `KINDS` a template is. Raises `InvalidTemplate` where it is none or several."""
    kinds = [kind for name, kind in KINDS.items() if document.get(name) is not None]
    if len(kinds) != 1:
        found = "multiple template types specified" if kinds else "template type unspecified"
        raise InvalidTemplate(f"templates.{document.get('name') or ''} {found}. choose one of: {', '.join(KINDS)}")
    return kinds[0]


class Step:
    """One step of a steps template or one task of a DAG: a call of a template, compiled.

    ``call`` is what each of its invocations is made from, ``when`` and ``loop`` what is decided before.
    """

    __slots__ = (
        "call",
        "called",
        "certain",
        "continue_on",
        "document",
        "exit_hook",
        "hooks",
        "item_expressions",
        "item_keys",
        "loop",
        "loop_hooks",
        "loop_when",
        "mentions",
        "name",
        "plain",
        "references",
        "when",
    )

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name: str = document["name"]
        loop = {key: document[key] for key in LOOPS if document.get(key) not in (None, [], "")}
        self.loop: Text | None = compile_json(loop) if loop else None
        """None for a plain step."""
        when = document.get("when")
        # Argo's clients read `when: true` of a task as the text that it is for it.
        self.when: Text | None = None if when in (None, "") else compile_json(text_of(when))
        parts = {key: document[key] for key in ("template", "templateRef", "inline", "arguments") if document.get(key)}
        self.call: Text = call_text(parts)
        self.plain: Plain | None = Plain(orjson.loads(self.call.render({}))) if not self.call.tags else None
        """The call itself, where there is nothing in it to fill in."""
        given = (document.get("arguments") or {}).get("artifacts")
        self.certain = self.plain is not None and self.loop is None and self.when is None and not given
        """Whether it is called once, just as it stands."""
        reference = {key: field for key, field in parts.items() if key != "arguments"}
        self.called = reference if self.loop is not None and not compile_json(reference).tags else None
        """What of a loop's call says which template is called, where there is nothing in that to fill in."""
        parameters = (document.get("arguments") or {}).get("parameters") or ()
        found = {each["name"]: _TAG.fullmatch(str(each.get("value") or "")) for each in parameters}
        variables = {name: tag[1].strip() for name, tag in found.items() if tag}
        self.references = {name: variable for name, variable in variables.items() if not variable.startswith("=")}
        """The arguments that are another node's variable and nothing else, by name."""
        self.continue_on: Document = document.get("continueOn") or {}
        self.mentions = Mentions(document)
        self.hooks, self.exit_hook = read_hooks(document)
        hooks = {key: document[key] for key in ("hooks", "onExit") if self.loop is not None and document.get(key)}
        self.loop_hooks: Text | None = compile_json(hooks) if hooks else None
        """The hooks of a loop, where something in them is to be filled in for each turn."""
        if self.loop_hooks is not None and not self.loop_hooks.tags:
            self.loop_hooks = None
        self.loop_when = self.when is not None and any(map(_ITEM.search, self.when.tags))
        """Whether `when` names the item."""
        texts = [text for text in (self.call, self.when, self.loop_hooks) if text is not None and text.tags]
        self.item_keys = tuple(sorted({name[5:] for text in texts for name in text.names if name.startswith("item.")}))
        """The keys that every item of the loop must have."""
        self.item_expressions = any(_ITEM.search(expression) for text in texts for expression in text.expressions)
        """Whether an expression names the item, which may fail for any of the turns."""

    def continues_on(self, phase: str) -> bool:
        """Whether this step's failure in `phase` is none of its parent's (Argo's ContinueOn)."""
        return bool(self.continue_on.get("error" if phase == "Error" else "failed")) and phase in ("Error", "Failed")


class Hook:
    """A lifecycle hook or an exit handler: a call, and the condition on which it is made."""

    __slots__ = ("expression", "step")

    def __init__(self, name: str, document: Document) -> None:
        self.expression: str = document.get("expression") or ""
        self.step = Step({**{key: document.get(key) for key in ("template", "templateRef", "arguments")}, "name": name})


def read_hooks(document: Document) -> tuple[dict[str, Hook], Hook | None]:
    """The lifecycle hooks of a workflow, a step or a task by name, and its exit handler (`onExit` before a hook)."""
    hooks = {name: Hook(name, hook) for name, hook in (document.get("hooks") or {}).items() if hook is not None}
    exit_hook = hooks.pop("exit", None)
    return hooks, Hook("exit", {"template": document["onExit"]}) if document.get("onExit") else exit_hook


class Resolving(Protocol):
    """Where the names inside a template resolve; `engine.templates.library.Context` says what these are."""

    scope: str
    lasting: bool

    def resolve(self, reference: Document) -> Template:
        """The template that a step, task or hook calls. Raises `InvalidTemplate`."""
        ...


class Condition(Protocol):
    """On what a task runs: `tasks` that must be done."""

    @property
    def tasks(self) -> tuple[str, ...]: ...

    def evaluate(self, lookup: Callable[[str, str], bool], /) -> bool:
        """Whether the task may run. Raises `ExpressionError`."""
        ...


class Template:
    """One template, compiled. ``context`` is where the names inside it resolve."""

    def __init__(self, document: Document, context: Resolving) -> None:
        self.document = document
        self.context = context
        self.name: str = document.get("name") or ""
        self.kind = kind_of(document)
        self.node_type = self.kind.node_type
        self.is_leaf = self.kind.leaf
        self.is_pod = self.kind.pod
        inputs = document.get("inputs") or {}
        self.parameters: list[Document] = inputs.get("parameters") or []
        self.artifacts: list[Document] = inputs.get("artifacts") or []
        self.inputs: Text = compile_json(self.parameters)
        self.outputs: Document = document.get("outputs") or {}
        self.declared: Text = compile_json(self.outputs)
        derived = (each["name"] for each in self.parameters if self.inputs.tags and _is_derived(each))
        self.derived = frozenset(derived) or NO_NAMES
        """The inputs whose own values name others, or what only the node knows."""
        self.located: Text = compile_json(self.artifacts)
        """The artifacts among the inputs: where they lie may name other inputs, and what only the node knows."""
        self.open = bool(self.inputs.tags or self.located.tags) or any(
            each.get("valueFrom") for each in self.parameters
        )
        """Whether its inputs may depend on more than the arguments that it is called with."""
        self.text: Text = compile_json(document)
        body = {"outputs", "inputs", *(kind.name for kind in KINDS.values() if kind.late)}
        self.settings: Text = compile_json({key: value for key, value in document.items() if key not in body})
        self.steps: list[list[Step]] = [[Step(step) for step in group] for group in document.get("steps") or ()]
        self.dag: Document = document.get("dag") or {}
        self.tasks: list[Step] = [Step(task) for task in self.dag.get("tasks") or ()]
        calls = (step.document for step in (*chain(*self.steps), *self.tasks))
        self._arrangeable = any("{{" in str(call.get(field) or "") for call in calls for field in _ARRANGED)
        self.display_name: str | None = (document.get("annotations") or {}).get(DISPLAY_NAME)
        gates = ("synchronization", "memoize", "retryStrategy")
        self.gated = bool(self.settings.tags) or self.display_name is not None or any(map(document.get, gates))
        """Whether more may have to be decided before a call of it goes on than what its inputs are."""
        self.parallelism: int | None = max(document.get("parallelism") or 0, 0) or None
        """How many may go on in it at a time; none or less is no limit (Argo's HasParallelism)."""
        self.fail_fast: bool = bool(document.get("failFast"))
        self.daemon: bool = bool(document.get("daemon"))
        mounting = [document.get(kind.name) for kind in KINDS.values() if kind.mounts]
        mounting += [*(document.get("initContainers") or ()), *(document.get("sidecars") or ())]
        mounts = [each.get("name") or "" for one in mounting if one for each in one.get("volumeMounts") or ()]
        self.timed = any(document.get(field) is not None for field in ("timeout", "activeDeadlineSeconds"))
        """Whether it says how long its nodes may take."""
        ours = self.kind.name in ("suspend", "containerSet")
        self.plain_leaf = self.is_leaf and self.kind.started and not (self.timed or mounts or ours)
        """Whether nothing but that an executor starts it happens when one of its nodes begins to run."""
        self.silent = self.kind.started and all(map(_TEXT.fullmatch, self.text.tags))
        """Whether nothing can be wrong with one of its nodes before an executor has it."""
        self.mounts: Text | None = compile_json(mounts) if mounts and self.is_pod else None
        """The names of the volumes that a pod made from this template mounts, None where it mounts none."""
        self.mentions = Mentions(document)
        """The steps and tasks whose variables are read anywhere in the template."""
        text = orjson.dumps(document).decode()
        self.reads_name = "steps.name" in text or "tasks.name" in text
        self.reads_pod = self.is_pod and ("pod" in text or "$env" in text or any("{{" in tag for tag in self.text.tags))
        """Whether the name of a node's pod may be read in it."""
        self.reads_list = "inputs.parameters" in self.text.tags
        self.fixed: dict[str, str] = {
            f"{side}.{kind}.{item['name']}.path": item["path"]
            for side, kinds_ in (("inputs", ("artifacts",)), ("outputs", ("artifacts", "parameters")))
            for kind in kinds_
            for item in (document.get(side) or {}).get(kind) or ()
            for item in ({**item, "path": item.get("path") or (item.get("valueFrom") or {}).get("path")},)
            if item["path"]
        }
        """Variables that the template itself defines, whoever calls it: paths of artifacts and parameters."""
        self.unfixed: dict[str, str] = {name: path for name, path in self.fixed.items() if "{{" in path}
        """Those of them in which there is something to fill in."""
        self.conditions: dict[str, Condition | None] | None = None
        """On what the tasks of a DAG run, once that has been read; None for one that waits for nothing."""

    def arranged(self, scope: Scope) -> Template:
        """This one with what tags say of its tasks or steps as a whole: what they are called, and depend on."""
        if not self._arrangeable:
            return self
        document = dict(self.document)
        if document.get("steps"):
            document["steps"] = [[_arranged(step, scope) for step in group] for group in document["steps"]]
        if self.dag:
            document["dag"] = {**self.dag, "tasks": [_arranged(task, scope) for task in self.dag.get("tasks") or ()]}
        return Template(document, self.context)

    @cached_property
    def as_json(self) -> Document:
        """The document of one without tags as an executor is given it, none of whose parts are anybody else's."""
        document: Document = orjson.loads(self.text.render({}))
        return document
