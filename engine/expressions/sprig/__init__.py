"""The template functions of github.com/Masterminds/sprig that expressions call as `sprig.trim(x)`.

As in Argo, those that read the machine are missing (`env`, `expandenv`); so are `getHostByName`, keys and certificates,
passwords and semantic versions. Arguments come in sprig's order, the text to work on last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.expressions.functions import Function, namespace
from engine.expressions.sprig import dates, dicts, encoding, lists, numbers, random, regexes, strings

SPRIG: Final[Mapping[str, Function]] = namespace(
    {
        **strings.FUNCTIONS,
        **numbers.FUNCTIONS,
        **lists.FUNCTIONS,
        **dicts.FUNCTIONS,
        **dates.FUNCTIONS,
        **encoding.FUNCTIONS,
        **regexes.FUNCTIONS,
        **random.FUNCTIONS,
    },
    zeros=True,
)
