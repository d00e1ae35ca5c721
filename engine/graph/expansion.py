"""From a step as written to the calls it makes: tags substituted, loops expanded, `when` decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import orjson

from engine.expressions import ExpressionError
from engine.expressions.when import evaluate_when
from engine.graph.items import LoopError, items
from engine.graph.outputs import OutputError, resolve_artifact
from engine.scope import Scope
from engine.substitution import SubstitutionError
from engine.template import Context, InvalidTemplate, Step

Document = Mapping[str, Any]


class ExpansionError(Exception):
    """A step that cannot be called; the message is that of the node it makes Error."""


def prime(calls: Iterator[Call]) -> Iterator[Call]:
    """The same calls, the first one already made: what is wrong with the step is raised now."""
    return chain([next(calls)], calls)


class Call:
    """One call a step makes: the suffix of its node's name, the substituted step, and whether `when` lets it run."""

    __slots__ = ("document", "error", "skipped", "suffix")

    def __init__(self, suffix: str, document: Document, skipped: str | None, error: str | None) -> None:
        self.suffix = suffix
        self.document = document
        self.skipped = skipped
        """Why the call is skipped, None where it runs."""
        self.error = error
        """Why its `when` cannot be decided, None where it can."""


def expand(step: Step, scope: Scope, context: Context) -> Iterator[Call]:
    """The calls that a step makes, one for a plain step, one an item for a loop, a skipped one for an empty loop.

    Raises `ExpansionError` where a tag, a loop or an artifact cannot be resolved: Argo's resolveReferences and
    expandStep, which fail the group or the task before any node is made. So whatever is wrong is raised before the
    first call is yielded; after that the calls of a loop come one by one, since a million of them do not fit at once.
    """
    if step.loop is None:
        yield _call(step, "", scope, context, looped=False)
        return
    try:
        loop = orjson.loads(step.loop.render(scope))
        turns = items(loop, needed=step.item_keys)
    except (LoopError, SubstitutionError, ExpressionError) as error:
        # A `when` that is false protects a loop over something that was never made.
        if not _protected(step, scope):
            raise ExpansionError(str(error)) from error
        turns = iter(())
    first = next(turns, None)
    if first is None:
        yield Call("", step.document, "Skipped, empty params", None)
        return
    yield _call(step, first.suffix, Scope(scope, first.values), context, looped=True)
    for turn in turns:
        try:
            yield _call(step, turn.suffix, Scope(scope, turn.values), context, looped=True)
        except ExpansionError as error:
            yield Call(turn.suffix, step.document, None, str(error))


def _call(step: Step, suffix: str, scope: Scope, context: Context, *, looped: bool) -> Call:
    try:
        document: dict[str, Any] = orjson.loads(step.call.render(scope))
    except (SubstitutionError, ExpressionError) as error:
        document = _with_defaults(step, scope, context, error)
    skipped = None
    if document.get("when"):
        try:
            if not evaluate_when(document["when"]):
                skipped = f"when '{document['when']}' evaluated false"
        except ExpressionError as error:
            if not looped:
                raise ExpansionError(str(error)) from error
            return Call(suffix, document, None, str(error))
    arguments = document.get("arguments")
    if skipped is None and arguments and arguments.get("artifacts"):
        try:
            found = [resolve_artifact(artifact, scope) for artifact in arguments["artifacts"]]
        except OutputError as error:
            raise ExpansionError(str(error)) from error
        document["arguments"] = {**arguments, "artifacts": [artifact for artifact in found if artifact is not None]}
    return Call(suffix, document, skipped, None)


def _with_defaults(step: Step, scope: Scope, context: Context, error: Exception) -> dict[str, Any]:
    """The step without the arguments that name what was never made, where the called template has defaults for them."""
    made = Scope(None, {name: value for name, value in scope.flatten().items() if value is not None})
    try:
        document: dict[str, Any] = orjson.loads(step.call.render(made, allow_unresolved=True))
    except SubstitutionError as failure:
        raise ExpansionError(str(failure)) from failure
    when = document.get("when")
    if when and "{{" not in when:
        try:
            if not evaluate_when(when):
                return document  # it will not run, so what its arguments name does not matter
        except ExpressionError as failure:
            raise ExpansionError(str(failure)) from failure
    arguments = document.get("arguments") or {}
    missing = {each["name"] for each in arguments.get("parameters") or () if "{{" in str(each.get("value", ""))}
    try:
        template = context.resolve(document)
    except InvalidTemplate as failure:
        raise ExpansionError(str(failure)) from failure
    defaults = {
        each["name"]
        for each in template.parameters
        if each.get("default") is not None
        or each.get("value") is not None
        or (each.get("valueFrom") or {}).get("default")
    }
    if not missing or not missing <= defaults:
        raise ExpansionError(str(error)) from error
    kept = [each for each in arguments["parameters"] if each["name"] not in missing]
    document["arguments"] = {**arguments, "parameters": kept}
    rest = orjson.dumps({key: value for key, value in document.items() if key != "arguments"}).decode()
    if "{{" in rest:
        raise ExpansionError(str(error)) from error
    return document


def _protected(step: Step, scope: Scope) -> bool:
    try:
        document = orjson.loads(step.call.render(scope, allow_unresolved=True))
        when = document.get("when")
        return bool(when) and "{{" not in when and not evaluate_when(when)
    except (ExpressionError, SubstitutionError):
        return False
