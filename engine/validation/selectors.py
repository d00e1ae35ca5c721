"""Label selectors (Kubernetes' metav1.LabelSelectorAsSelector)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.templates.specification import LABEL, InvalidSpec

_OPERATORS: Final = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}
"""Whether each wants values."""

_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_selector(place: str, selector: Mapping[str, Any] | None) -> None:
    """Raises `InvalidSpec` for a selector that could select nothing, whatever the labels."""
    if selector is None:
        return
    wanted = [(key, "In", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    wanted += [
        (each.get("key") or "", each.get("operator") or "", each.get("values") or [])
        for each in selector.get("matchExpressions") or ()
    ]
    for key, operator, values in wanted:
        if operator not in _OPERATORS:
            raise InvalidSpec(f'{place} invalid: "{operator}" is not a valid label selector operator')
        if not _KEY.fullmatch(key):
            raise InvalidSpec(f"{place} invalid: key: Invalid value: {key!r}")
        if _OPERATORS[operator] is not bool(values):
            needed = "must be specified" if _OPERATORS[operator] else "must be empty"
            raise InvalidSpec(f"{place} invalid: values: for {operator!r} operator, values set {needed}")
        for value in values:
            if not LABEL.fullmatch(str(value)):
                raise InvalidSpec(f"{place} invalid: values: Invalid value: {value!r}")
