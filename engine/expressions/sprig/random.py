"""sprig's random values: new ones at every evaluation, so a workflow that uses them is not repeatable, as in Argo."""

from __future__ import annotations

import random
import secrets
import string
import uuid
from collections.abc import Callable
from typing import Final

from engine.expressions.budget import bounded, spend
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions


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


FUNCTIONS: Final[Functions] = {
    "randAlpha(int)": _characters(string.ascii_letters),
    "randAlphaNum(int)": _characters(string.ascii_letters + string.digits),
    "randAscii(int)": _characters("".join(map(chr, range(32, 127)))),
    "randInt(int, int)": _integer,
    "randNumeric(int)": _characters(string.digits),
    "shuffle(string)": _shuffle,
    "uuidv4()": lambda: str(uuid.uuid4()),
}
