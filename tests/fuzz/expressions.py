"""Texts with tags in them: variables, expressions and conditions, most of which could be meant."""

from __future__ import annotations

from random import Random
from typing import Final

from engine.expressions.argo import FUNCTIONS
from engine.expressions.builtins import BUILTINS
from engine.expressions.sprig import SPRIG

_FUNCTIONS: Final = sorted(
    [*BUILTINS, *(name for name in FUNCTIONS if name != "sprig"), *(f"sprig.{it}" for it in SPRIG)]
)
_PREDICATES: Final = ["all", "any", "filter", "map", "count", "find", "reduce", "groupBy", "sortBy", "sum"]
_VARIABLES: Final = [
    "workflow.name", "workflow.parameters.p", "workflow.parameters", "workflow.status", "inputs.parameters.x", "item",
    "item.k", "steps.a.outputs.parameters.o", "steps.a.status", "steps['a'].outputs", "tasks.a.status", "retries",
    "lastRetry.status", "workflow.creationTimestamp", "workflow.nowhere", "inputs", "pod.name",
]  # fmt: skip
_ATOMS: Final = [
    "0", "1", "-1", "3", "2.5", "1e308", "9223372036854775807", "0x10", "true", "false", "nil", "''", "'a'", "'a-b c'",
    "'1h30m'", "'2006-01-02'", "'%d'", "'%100000s'", "'[1, 2]'", "'{\"a\": {\"b\": 1}}'", "'(a+)+$'", "'$.a[?(@.b)]'",
    "'\\\\'", "[]", "{}", "[1, 'a', nil]", "{'a': 1, 'b': [2]}", "1..5", "1..100000000", "sprig.repeat(100000, 'aB ')",
    "sprig.repeat(5000, '1')", "map(1..20000, {#})", "now()", "duration('1h')", "date('2026-01-01')",
]  # fmt: skip
_OPERATORS: Final = [
    "+", "-", "*", "/", "%", "**", "==", "!=", "<", ">=", "&&", "||", "??", "in", "contains", "matches", "startsWith",
    "..", "|", "?:", "not in", ";",
]  # fmt: skip


def expression(dice: Random, depth: int = 0) -> str:
    """An expression, of which most are well-formed and few make sense."""
    kind = dice.random()
    if kind < 0.3 or depth > 3:
        return dice.choice(_ATOMS if dice.random() < 0.7 else _VARIABLES)

    def inner() -> str:
        return expression(dice, depth + 1)

    if kind < 0.65:
        return f"{dice.choice(_FUNCTIONS)}({', '.join(inner() for _ in range(dice.choice((0, 1, 1, 2, 2, 3))))})"
    if kind < 0.72:
        return f"{dice.choice(_PREDICATES)}({inner()}, {{{dice.choice(('#', '# > 1', '.a', inner()))}}})"
    if kind < 0.8:
        return f"{inner()}{dice.choice(('[0]', '[-1]', '[1:]', '.a', '?.a', '[nil]', f'[{inner()}]'))}"
    if kind < 0.85:
        return f"({inner()} ? {inner()} : {inner()})"
    return f"{dice.choice(('', '', '-', '!', 'not '))}{inner()} {dice.choice(_OPERATORS)} {inner()}"


def tagged(dice: Random) -> str:
    """A text as it may stand anywhere in a manifest."""
    kind = dice.random()
    if kind < 0.6:
        return f"{{{{={expression(dice)}}}}}"
    if kind < 0.8:
        return f"{dice.choice(('', 'a '))}{{{{{dice.choice(_VARIABLES)}}}}} == {{{{={expression(dice)}}}}}"
    return expression(dice)
