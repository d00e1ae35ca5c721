"""The template functions of github.com/Masterminds/sprig that expressions call as `sprig.trim(x)`.

As in Argo, those that read the machine are missing (`env`, `expandenv`); so are `getHostByName`, keys and certificates,
passwords and semantic versions. Arguments come in sprig's order, the text to work on last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.expressions.functions import Function, namespace
from engine.expressions.sprig import dates, dicts, encoding, lists, numbers, random, regexes, strings

_MODULES: Final = (strings, numbers, lists, dicts, dates, encoding, regexes, random)

SPRIG: Final[Mapping[str, Function]] = namespace(*(module.FUNCTIONS for module in _MODULES), zeros=True)
