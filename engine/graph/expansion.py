"""From a step as written to the calls it makes: `when` decided, tags substituted, loops expanded."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
import orjson

from engine.expressions import ExpressionError, evaluate
from engine.expressions.when import evaluate_when
from engine.graph.items import Item, LoopError, Turns, items
from engine.graph.outputs import OutputError, resolve_artifact
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, Text, UnresolvedError, environment, render_string
from engine.templates.template import Hook, Step, read_hooks

Hooks = tuple[dict[str, Hook], Hook | None]

_PRODUCED: Final = ("steps", "tasks")
"""What other nodes produce must be there before a step is called; other tags may be left for the called template."""


class ExpansionError(Exception):
    """A step that cannot be called; the message is that of the node it makes Error."""


class Waiting(Exception):
    """A step that names an output which no node has produced: Argo asks again and again, for ever.

    The message says what it waits for.
    """


class Call(msgspec.Struct, gc=False):
    """One call a step makes: the suffix of its node's name, the substituted step, its hooks, and whether it runs."""

    suffix: str
    document: Document
    skipped: str | None
    """Why the call is skipped, None where it runs."""
    error: str | None
    """Why it cannot be called after all, None where it can."""
    hooks: Hooks = ({}, None)
    """Those of a step, which may name the item of the turn; the hooks of a task are its group's."""


def all_run(calls: Sequence[Call]) -> bool:
    """Whether all of them are to be made, as far as the step is concerned."""
    return all(call.skipped is None and call.error is None for call in calls)


def primed(calls: Iterator[Call | None]) -> Generator[None, None, Iterator[Call]]:
    """The calls, the first one already made: what is wrong with the step is raised now."""
    first = None
    while first is None:
        first = next(calls)
        yield
    return chain([first], filter(None, calls))


def expand(step: Step, scope: Scope, own: Scope, room: int) -> Iterator[Call | None]:
    """The calls that a step makes, one for a plain step, one an item for a loop, a skipped one for an empty loop.

    ``scope`` has all variables, ``own`` those that the template has without what its other steps produced;
    ``room`` is how many nodes the workflow may still have.

    Raises `ExpansionError` where a tag, a loop or an artifact cannot be resolved, and `Waiting`: Argo's
    resolveReferences and expandStep, which fail the group or the task before any node is made. So whatever is wrong is
    raised before the first call is yielded; after that the calls of a loop come one by one, since a million of them do
    not fit at once. None is no call, but a moment at which whoever makes them may rest.
    """
    skipped, undecided = None, None
    try:
        skipped = _skipped(step, scope)
    except ExpressionError as error:
        undecided = error  # which may take an item
    if step.loop is not None:
        turns = yield from _turns(step, step.loop, own if skipped else scope, skipped is not None, room)
        if turns is not None:
            yield from _loop(step, turns, scope, skipped)
            return
    if undecided is not None:
        raise ExpansionError(str(undecided)) from undecided
    yield Call("", step.document, skipped, None) if skipped else _call(step, scope)


def _loop(step: Step, turns: Turns, scope: Scope, skipped: str | None) -> Iterator[Call | None]:
    if next(iter(turns), None) is None:
        yield Call("", step.document, "Skipped, empty params", None)
        return
    if skipped and not step.loop_when:
        for turn in turns:
            yield Call(turn.suffix, step.document, skipped, None)
        return
    if not skipped and step.call.tags:
        _document(step, scope)  # what is missing for one turn is for all, and none of them is called
    if not skipped and step.item_expressions:
        for turn in turns:
            _fill_turn(step, Scope(scope, turn.values))
            yield None
    remaining = iter(turns)
    first = next(remaining)
    yield (call := _turn(step, first, scope, tentative=skipped is not None))
    if not step.call.tags and step.when is None and step.loop_hooks is None:
        for suffix in islice(turns.suffixes(), 1, None):  # which the name of the node alone tells apart
            yield Call(suffix, call.document, None, None, call.hooks)
        return
    for turn in remaining:
        try:
            yield _turn(step, turn, scope, tentative=skipped is not None)
        except ExpansionError as error:
            yield Call(turn.suffix, step.document, None, str(error))


def _skipped(step: Step, scope: Scope) -> str | None:
    """Why the step is skipped as a whole. Raises `ExpressionError` where `when` cannot be decided."""
    if step.when is None:
        return None
    when: str = orjson.loads(_filled_in(step.when, scope))
    return None if evaluate_when(when) else _reason(when)


def _reason(when: str) -> str:
    return f"when '{when}' evaluated false"


def _turns(step: Step, loop: Text, scope: Scope, protected: bool, room: int) -> Generator[None, None, Turns | None]:
    """The items to loop over; where a false `when` protects a loop over something that was never made, none."""
    try:
        document = orjson.loads(loop.render(scope, allow_unresolved=True) if protected else _filled_in(loop, scope))
        return (yield from items(document, () if protected else step.item_keys, room))
    except (LoopError, SubstitutionError, ExpansionError) as error:
        if protected:
            return Turns(().__iter__)
        raise ExpansionError(str(error)) from error


def _turn(step: Step, turn: Item, scope: Scope, *, tentative: bool) -> Call:
    """One turn of a loop. ``tentative`` is one whose `when` was false before there was an item (`'{{item}}' == 'a'`),
    and is decided again: it runs with what can be filled in, and without the artifacts of others (Argo's processItem).
    """
    inner = Scope(scope, turn.values)
    required = () if tentative else _PRODUCED
    if step.when is not None:
        when: str = orjson.loads(_filled_in(step.when, inner, looped=not tentative, required=required))
        try:
            if not evaluate_when(when):
                return Call(turn.suffix, step.document, _reason(when), None)
        except ExpressionError as error:
            return Call(turn.suffix, step.document, None, str(error))
    document = _document(step, inner, required=()) if tentative else _call(step, inner, looped=True).document
    return Call(turn.suffix, document, None, None, _turn_hooks(step, inner, tentative=tentative))


def _fill_turn(step: Step, scope: Scope) -> None:
    """Find out whether all of a step can be filled in for one turn of its loop."""
    if step.when is not None:
        _filled_in(step.when, scope, looped=True)
    _document(step, scope, looped=True)
    _turn_hooks(step, scope)


def _turn_hooks(step: Step, scope: Scope, *, tentative: bool = False) -> Hooks:
    """A step's hooks with the turn's item filled in: with all that is in them, since to Argo they are part of the step,
    so that the hooks of a loop cannot read what its turns produce."""
    if step.loop_hooks is None:
        return step.hooks, step.exit_hook
    try:
        return read_hooks(orjson.loads(step.loop_hooks.render(scope, allow_unresolved=tentative)))
    except SubstitutionError as error:
        raise ExpansionError(str(error)) from error


def holds(hook: Hook, scope: Scope, known: Mapping[str, Any]) -> bool:
    """Whether the hook's condition holds (Argo's EvalBool), in which tags stand for what is ``known``; any others stay.

    Raises `ExpressionError`, and `ExpansionError` for a tag that cannot be filled in.
    """
    try:
        expression = render_string(hook.expression, known)
    except SubstitutionError as error:
        raise ExpansionError(str(error)) from error
    result = evaluate(expression, environment(scope), clock=scope.clock)
    if not isinstance(result, bool):
        raise ExpressionError(f"expected a boolean, got {result!r}", hook.expression)
    return result


def hook_call(hook: Hook, scope: Scope, arguments: Document, *, inside: bool = True) -> Document:
    """The call that a hook makes; without arguments of its own it has those given. Raises `ExpansionError`.

    Tags that cannot be filled in stay as they are, as in Argo's resolveExitTmplArgument, which finds the artifacts that
    hooks take of others: only ``inside`` a template, and not for those of the workflow.
    """
    try:
        call = _call(hook.step, scope, required=()).document if inside else _document(hook.step, scope, required=())
    except Waiting as waiting:  # pragma: no cover - nothing is required
        raise ExpansionError(str(waiting)) from waiting
    given = call.get("arguments") or {}
    return call if given.get("parameters") or given.get("artifacts") else {**call, "arguments": arguments}


def _call(step: Step, scope: Scope, *, looped: bool = False, required: tuple[str, ...] = _PRODUCED) -> Call:
    document = _document(step, scope, looped=looped, required=required)
    arguments = document.get("arguments")
    if arguments and arguments.get("artifacts"):
        try:
            found = [resolve_artifact(artifact, scope) for artifact in arguments["artifacts"]]
        except OutputError as error:
            raise ExpansionError(f"unable to resolve references: {error}") from error
        located = [artifact for artifact in found if artifact is not None]
        document = {**document, "arguments": {**arguments, "artifacts": located}}
    return Call("", document, None, None, (step.hooks, step.exit_hook))


def _document(step: Step, scope: Scope, *, looped: bool = False, required: tuple[str, ...] = _PRODUCED) -> Document:
    """The step as a call, tags filled in.

    Arguments are marked that name an output of a node which never ran and nothing else: they count as not given, so
    that an input's own default applies (Argo's markAbsentOptionalArgs).
    """
    if step.plain is not None:
        return step.plain
    absent = [name for name, variable in step.references.items() if scope.get(variable, "") is None]
    text = step.call if not absent else _without(step, absent)
    document: dict[str, Any] = orjson.loads(_filled_in(text, scope, looped=looped, required=required))
    return document


def _without(step: Step, absent: list[str]) -> Text:
    arguments = step.document["arguments"]
    parameters = [
        {"name": each["name"], "absent": True} if each["name"] in absent else each for each in arguments["parameters"]
    ]
    return Step({**step.document, "arguments": {**arguments, "parameters": parameters}}).call


def _filled_in(text: Text, scope: Scope, *, looped: bool = False, required: tuple[str, ...] = _PRODUCED) -> bytes:
    """The text with its tags filled in; those of a loop's turn all have to be."""
    try:
        return text.render(scope, allow_unresolved=not looped, required=required)
    except UnresolvedError as error:
        if error.name.partition(".")[0] not in _PRODUCED:
            raise ExpansionError(str(error)) from error
        raise Waiting(f"{{{{{error.tag}}}}}, which no node has produced") from error
    except SubstitutionError as error:
        raise ExpansionError(str(error)) from error
