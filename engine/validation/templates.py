"""Templates and the calls of them, each template with those it calls."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from engine.graph.retry import POLICIES
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.templates.kinds import Kind, has_result
from engine.templates.library import Context
from engine.templates.specification import InvalidSpec
from engine.templates.template import InvalidTemplate, kind_of
from engine.validation.arguments import check_inputs, check_location, check_outputs
from engine.validation.bodies import Checking, check_dag, check_steps
from engine.validation.filling import PLACEHOLDER, Placeholders, fill_in
from engine.validation.leaves import check_leaf
from engine.validation.metrics import check_metrics
from engine.validation.names import is_parameter
from engine.validation.tags import COMMON, Names

_WHOLE: Final = re.compile(r"[+-]?\d+")
_BODIES: Final = {"steps": check_steps, "dag": check_dag}


def drive(checking: Checking) -> Document | None:
    """Run a check and all that it asks for: templates may call one another deeper than Python can."""
    stack = [checking]
    found: Document | None = None
    problem: InvalidSpec | None = None
    while stack:
        try:
            if problem is None:
                stack.append(stack[-1].send(found))
            else:
                raised, problem = problem, None
                stack.append(stack[-1].throw(raised))
            found = None
        except StopIteration as stop:
            stack.pop()
            found = stop.value
        except InvalidSpec as error:
            stack.pop()
            problem = error
    if problem is not None:
        raise problem
    return found


class _Read(NamedTuple):
    """A template, of which this is the same however it is called."""

    template: Document
    kind: Kind
    inputs: set[str]
    own: list[str]
    """The variables that it has of itself."""
    brief: Document
    """What of it is looked at each time, which is little however large it is."""


class Templates:
    """What is known of a workflow's templates so far.

    ``known`` are the variables `workflow.*` and what they come to, a placeholder where that is not known yet;
    `workflow.outputs.artifacts.*` is among them where global artifacts of any name may exist. ``later`` is what other
    variables begin with that are left to be.
    """

    def __init__(self, known: Scope, placeholder: Placeholders, later: tuple[str, ...] = ()) -> None:
        self.known = known
        self.later = later
        self.placeholder = placeholder
        self._seen: set[tuple[str, str]] = set()
        self._open: set[tuple[str, int]] = set()
        """Templates that were looked at with all that they take given: there is nothing new in doing it again."""
        self._read: dict[int, _Read] = {}
        self._defined: dict[tuple[int, bool], tuple[Document, frozenset[str]]] = {}

    def check_call(self, call: Document, context: Context, arguments: Document | None) -> Checking:
        """A step, a task or the entrypoint, with its arguments; without, all that it takes counts as given.

        Returns the template, None where which one it is will only be known at runtime.
        """
        found = self._resolve(call, context)
        if found is None:
            return None
        template, context = found
        key = (context.scope, id(template))
        if arguments is None and key in self._open:
            return template
        policy = (template.get("retryStrategy") or {}).get("retryPolicy") or ""
        if policy and policy not in POLICIES:
            raise InvalidSpec(f"{policy} is not a valid RetryPolicy, expected {' or '.join(POLICIES)}")
        yield self._check(template, context, arguments)
        if arguments is None:
            self._open.add(key)
        return template

    @staticmethod
    def _resolve(call: Document, context: Context) -> tuple[Document, Context] | None:
        reference, name = call.get("templateRef"), call.get("template") or ""
        try:
            if not reference:
                if name or not call.get("inline"):
                    local = context.document(name)
                return call.get("inline") or local, context
            if name:
                raise InvalidSpec("template name cannot be specified with templateRef.")
            for field, what in (("name", "resource"), ("template", "template")):
                if not reference.get(field):
                    raise InvalidSpec(f"{what} name is required")
            if any("{{" in str(reference[field]) for field in ("name", "template")):
                return None
            context = context.library.context(reference["name"], cluster=bool(reference.get("clusterScope")))
            return call.get("inline") or context.document(reference["template"]), context
        except InvalidTemplate as error:
            if not reference:
                raise InvalidSpec(str(error)) from error
            if PLACEHOLDER in reference["template"]:
                return None
            place = f"{reference['name']}.{reference['template']}"
            raise InvalidSpec(f"template reference {place} not found: {error}") from error

    def _check(self, template: Document, context: Context, arguments: Document | None) -> Checking:
        name = template.get("name") or ""
        _, kind, inputs, own, brief = self._read_once(name, template)
        key = (context.scope, name)
        seen = key in self._seen
        local = Scope(self.known, {variable: self.placeholder() for variable in own})
        try:
            called = fill_in(brief if seen else template, arguments, local, self.placeholder)
        except InvalidSpec as error:
            raise InvalidSpec(f"templates.{name} {error}") from error
        _check_timeout(name, kind, called)
        if seen:
            return None
        self._seen.add(key)
        names = Names(inputs.union(own), self.known, self.later)
        if not kind.leaf:
            if template.get("activeDeadlineSeconds") is not None:
                raise InvalidSpec(f"templates.{name}.activeDeadlineSeconds is only valid for leaf templates")
            yield _BODIES[kind.name](self, names, called, context)
        else:
            names.check(f"templates.{name}:", called)
            check_leaf(name, kind, called, context)
        names.check(f"templates.{name}.outputs", called.get("outputs") or {})
        check_outputs(name, kind, called.get("outputs"))
        if called.get("archiveLocation") is not None:
            check_location(f"templates.{name}.archiveLocation", called["archiveLocation"])
        check_metrics(name, called.get("metrics"))
        return template

    def _read_once(self, name: str, template: Document) -> _Read:
        known = self._read.get(id(template))
        if known is None:
            kind = _kind(template)
            for container in template.get("initContainers") or ():
                if not container.get("name"):
                    raise InvalidSpec("initContainers must all have container name")
            inputs, own = check_inputs(name, kind, template.get("inputs")), sorted(_own_variables(kind, template))
            brief = {field: template[field] for field in ("inputs", "timeout") if field in template}
            known = self._read[id(template)] = _Read(template, kind, inputs, own, brief)
        return known

    def define(self, names: Names, call: str, template: Document | None, *, looped: bool) -> None:
        """Note in `names` what a call of the template defines under its own name, and what of it is global."""
        if template is None:
            names.children[call] = COMMON
            return
        for kind in ("parameters", "artifacts"):
            for output in (template.get("outputs") or {}).get(kind) or ():
                name = output.get("globalName") or ""
                if name and is_parameter(name):  # which name that is, nobody knows before it runs
                    names.own.add(f"workflow.outputs.{kind}.*")
                elif name:
                    self.known[f"workflow.outputs.{kind}.{name}"] = self.placeholder()
        known = self._defined.get((id(template), looped))
        if known is None:
            known = self._defined[id(template), looped] = (template, _definitions(template, looped=looped))
        names.children[call] = known[1]


def _definitions(template: Document, *, looped: bool) -> frozenset[str]:
    found = set(COMMON)
    if template.get("daemon"):
        found.add("ip")
    if has_result(template):
        found.update(("outputs.result", "exitCode"))
    for kind in ("parameters", "artifacts"):
        found.update(f"outputs.{kind}.{each['name']}" for each in (template.get("outputs") or {}).get(kind) or ())
    if looped:
        found.add("outputs.parameters")
        if template.get("containerSet") is not None:
            found.update(("outputs.result", "exitCode"))
    return frozenset(found)


def _kind(template: Document) -> Kind:
    try:
        return kind_of(template)
    except InvalidTemplate as error:
        raise InvalidSpec(str(error)) from error


def _own_variables(kind: Kind, template: Document) -> set[str]:
    found: set[str] = set()
    if kind.pod:
        found.add("pod.name")
    if template.get("retryStrategy") is not None:
        found.update(("retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message"))
    return found


def _check_timeout(name: str, kind: Kind, template: Document) -> None:
    timeout = template.get("timeout")
    if timeout in (None, ""):
        return
    if not kind.files:
        raise InvalidSpec(f"{kind.called} template doesn't support timeout field.")
    if _WHOLE.fullmatch(str(timeout)):
        raise InvalidSpec(f"{name} has invalid duration format in timeout.")
