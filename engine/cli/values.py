"""Values from requests and replies as they are shown to people, who read no more than a line or two of one."""

from __future__ import annotations

import json
from typing import Any, Final

_BEFORE: Final = 20
"""Characters that are shown of what two values have in common before they differ."""


def shown(value: Any, most: int) -> str:
    """JSON of at most so many characters."""
    return _cut(_text(value), 0, most)


def shown_apart(old: Any, new: Any, most: int, *, none: str = "null") -> tuple[str, str]:
    """Two values, likewise; where they begin alike for long, from shortly before they differ."""
    one, other = (none if value is None else _text(value) for value in (old, new))
    alike = next((at for at, each in enumerate(one) if not other.startswith(each, at)), len(one))
    begin = alike - _BEFORE if alike > most - _BEFORE else 0
    return _cut(one, begin, most), _cut(other, begin, most)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str, begin: int, most: int) -> str:
    return f"{'…' if begin else ''}{text[begin : begin + most]}{'…' if len(text) > begin + most else ''}"
