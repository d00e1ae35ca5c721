"""sprig's random values: new ones at every evaluation, so a workflow that uses them is not repeatable, as in Argo."""

from __future__ import annotations

import random
import secrets
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from engine.expressions.budget import bounded, spend
from engine.expressions.errors import Invalid


def _characters(alphabet: str) -> Callable[..., object]:
    def function(count: int) -> str:
        if count < 0:
            raise Invalid("cannot make a text of negative length")
        bounded(count)
        spend(count)
        return "".join(secrets.choice(alphabet) for _ in range(count))

    return function


def _integer(least: int, limit: int) -> int:
    if limit <= least:
        raise Invalid("invalid argument to randInt: the upper limit must be above the lower one")
    return least + secrets.randbelow(limit - least)


def _shuffle(text: str) -> str:
    spend(len(text))
    return "".join(random.SystemRandom().sample(text, len(text)))


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "randAlpha": _characters(string.ascii_letters),
    "randAlphaNum": _characters(string.ascii_letters + string.digits),
    "randAscii": _characters("".join(map(chr, range(32, 127)))),
    "randInt": _integer,
    "randNumeric": _characters(string.digits),
    "shuffle": _shuffle,
    "uuidv4": lambda: str(uuid.uuid4()),
}
