"""Steps and DAGs: their calls, and who may name whose variables."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

from engine.graph.ancestry import Ancestry
from engine.shape import Document
from engine.templates.library import Context
from engine.templates.specification import InvalidSpec
from engine.templates.template import LOOPS
from engine.validation.arguments import check_arguments
from engine.validation.cycles import find_cycle, ordered
from engine.validation.names import check_names, field_problem, is_parameter
from engine.validation.tags import Names, items_of

Checking = Generator["Checking", Document | None, Document | None]
"""A check that may ask for other ones: it yields them, and is sent the template that each of them has looked at."""


class Calls(Protocol):
    """Who knows what steps and tasks call."""

    def check_call(self, call: Document, context: Context, arguments: Document | None) -> Checking:
        """A step or a task, with its arguments; without, all that it takes counts as given."""
        ...

    def define(self, names: Names, call: str, template: Document | None, *, looped: bool) -> None:
        """Note in `names` what a call of the template defines under its own name."""
        ...


# A task of a `depends`, with the result that is asked for or without.
_TASK: Final = re.compile(r"([a-zA-Z0-9][-a-zA-Z0-9]*?)\.([A-Z][a-zA-Z]+)|([a-zA-Z0-9][-a-zA-Z0-9]*)")
_RESULTS: Final = (
    "Succeeded",
    "Failed",
    "Skipped",
    "Omitted",
    "Errored",
    "Daemoned",
    "AnySucceeded",
    "AllFailed",
)
_OF_LOOPS: Final = ("AnySucceeded", "AllFailed")
_TASK_VARIABLE: Final = "{{tasks."


def is_looped(call: Document) -> bool:
    """Whether a step or task is made several times, as far as its outputs are then lists."""
    return bool(call.get("withItems") or call.get("withParam"))


def has_exit_hook(call: Document) -> bool:
    """Whether something is to run after a step or task."""
    return bool(call.get("onExit") or (call.get("hooks") or {}).get("exit"))


def check_hooks(prefix: str, hooks: Document | None) -> None:
    """Every hook but an exit handler says when it is to run. Raises `InvalidSpec`."""
    for name, hook in (hooks or {}).items():
        if name != "exit" and not (hook or {}).get("expression"):
            raise InvalidSpec(f"{prefix}.{name} Expression required")


@contextmanager
def _inside(prefix: str) -> Iterator[None]:
    """What is wrong is wrong at this place."""
    try:
        yield
    except InvalidSpec as error:
        raise InvalidSpec(f"{prefix} {error}") from error


def _inline_inputs(call: Document) -> set[str]:
    parameters = ((call.get("inline") or {}).get("inputs") or {}).get("parameters") or ()
    return {f"inputs.parameters.{parameter['name']}" for parameter in parameters}


def check_steps(templates: Calls, names: Names, template: Document, context: Context) -> Checking:
    """A steps template. Raises `InvalidSpec`."""
    name = template.get("name") or ""
    names.kind = "steps"
    for index, group in enumerate(template["steps"]):
        for step in group:
            place = f"templates.{name}.steps[{index}]"
            own: str = step["name"]
            if not own:
                raise InvalidSpec(f"{place}.name is required")
            if own in names.children:
                raise InvalidSpec(f"{place}.name '{own}' is not unique")
            problem = field_problem(own)
            if problem:
                raise InvalidSpec(f"{place}.name '{own}' is invalid: {problem}")
            names.children[own] = frozenset()
            place = f"{place}.{own}"
            arguments = step.get("arguments") or {}
            with _inside(place):
                items, any_item = items_of(step)
            names.own |= items
            names.any_item |= any_item
            check_arguments(f"{place}.arguments.", arguments)
            with _inside(place):
                called = yield templates.check_call(step, context, None)
            if has_exit_hook(step):
                templates.define(names, own, called, looped=False)
            check_hooks(place, step.get("hooks"))
            names.check(f"templates.{name}.steps", step, _inline_inputs(step))
            templates.define(names, own, called, looped=is_looped(step))
            with _inside(place):
                yield templates.check_call(step, context, arguments)
    return None


def check_dag(templates: Calls, names: Names, template: Document, context: Context) -> Checking:
    """A DAG template. Raises `InvalidSpec`."""
    name, dag = template.get("name") or "", template["dag"]
    place = f"templates.{name}"
    tasks = {task["name"]: task for task in dag.get("tasks") or ()}
    if not tasks:
        raise InvalidSpec(f"{place} must have at least one task")
    check_names(f"{place}.tasks", dag["tasks"])
    parents = _parents(place, tasks)
    names.kind = "tasks"
    hooked = {own for own, task in tasks.items() if task.get("hooks")}
    names.has_status = hooked.__contains__
    order = ordered(parents)
    for own in order:
        task = tasks[own]
        with _inside(f"{place}.tasks.{own}"):
            called = yield templates.check_call(task, context, None)
        templates.define(names, own, called, looped=is_looped(task))
    names.check(f"{place}.targets", dag.get("target") or "")
    for target in (dag.get("target") or "").split(" ") if dag.get("target") else ():
        if target not in tasks and not is_parameter(target):
            raise InvalidSpec(f"{place}.targets: target '{target}' is not defined")
    ancestry = Ancestry(parents)
    for own in order:
        task, arguments = tasks[own], tasks[own].get("arguments") or {}
        with _inside(f"{place}.tasks.{own}"):
            items, any_item = items_of(task)
            names.any_item = any_item
            names.has_status = partial(_has_status, hooked, ancestry, own)
            names.check("", task, items | _inline_inputs(task))
        check_arguments(f"{place}.tasks.{own}.arguments.", arguments)
        with _inside(f"{place}.tasks.{own}"):
            _check_sources(arguments, ancestry, own)
            yield templates.check_call(task, context, arguments)
    names.has_status = hooked.__contains__
    names.any_item = False
    return None


def _has_status(hooked: set[str], ancestry: Ancestry, task: str, other: str) -> bool:
    return other in hooked or ancestry.is_ancestor(other, task)


def _check_sources(arguments: Document, ancestry: Ancestry, task: str) -> None:
    """What an argument is taken from has to be there first."""
    for kind, field in (("parameter", "value"), ("artifact", "from")):
        for argument in arguments.get(f"{kind}s") or ():
            value = argument.get(field)
            if isinstance(value, str) and value.startswith(_TASK_VARIABLE):
                source = value.split(".")[1]
                if not ancestry.is_ancestor(source, task):
                    raise InvalidSpec(f"missing dependency '{source}' for {kind} '{argument['name']}'")


def _parents(place: str, tasks: Mapping[str, Document]) -> dict[str, list[str]]:
    """What each task directly depends on. Raises `InvalidSpec`."""
    uses_depends = any(task.get("depends") for task in tasks.values())
    parents: dict[str, list[str]] = {}
    for own, task in tasks.items():
        if (uses_depends or task.get("dependencies")) and own[0].isdigit():
            problem = "name cannot begin with a digit when using either 'depends' or 'dependencies'"
            raise InvalidSpec(f"{place}.tasks.{own} {problem}")
        if uses_depends and task.get("dependencies"):
            raise InvalidSpec(f"{place} cannot use both 'depends' and 'dependencies' in the same DAG template")
        if uses_depends and task.get("continueOn") is not None:
            problem = "cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"
            raise InvalidSpec(f"{place} {problem}")
        named = _TASK.findall(task.get("depends") or "")
        found = [(with_result or other, result) for with_result, result, other in named]
        for dependency, result in [*found, *((each, "") for each in task.get("dependencies") or ())]:
            if result and result not in _RESULTS:
                problem = f"task result '{result}' for task '{dependency}' is invalid"
                raise InvalidSpec(f"{place}.tasks.{own} {problem}")
            if dependency not in tasks:
                raise InvalidSpec(f"{place}.tasks.{own} dependency '{dependency}' not defined")
            if result in _OF_LOOPS and not any(tasks[dependency].get(loop) for loop in LOOPS):
                raise InvalidSpec(
                    f"{place}.tasks.{own} dependency '{dependency}' uses an items-based condition such as"
                    " .AnySucceeded or .AllFailed but does not contain any items"
                )
        parents[own] = list(dict.fromkeys([*(each for each, _ in found), *(task.get("dependencies") or ())]))
    cycle = find_cycle(parents)
    if cycle:
        raise InvalidSpec(f"{place}.tasks dependency cycle detected: {'->'.join(cycle)}")
    return parents
