"""What is text to Argo's server, whatever a manifest has: values of parameters (its AnyString), labels and the like.

Clients that expect texts, as Hera does, could read no list in which one is something else.
"""

from __future__ import annotations

from typing import Any, Final

from engine.substitution.variables import text_of

_ON_THE_WAY: Final = frozenset(
    {"spec", "workflowSpec", "templates", "templateDefaults", "inline", "steps", "dag", "tasks", "arguments"}
    | {"inputs", "outputs", "metadata", "podMetadata", "workflowMetadata"}
)
"""Fields beneath which there are some. What plugins are told, and items of loops, are not among them."""
_MAPS: Final = frozenset({"labels", "annotations", "nodeSelector"})
"""Of texts: one that is null is an empty one to Go."""


def make_texts(part: Any) -> None:
    """Make texts of what are to be some in a manifest, or a part of it, in place."""
    if isinstance(part, list):
        for each in part:
            make_texts(each)
    elif isinstance(part, dict):
        for field, value in part.items():
            if field == "parameters" and isinstance(value, list):
                for each in value:
                    _parameter(each)
            elif field in _MAPS and isinstance(value, dict):
                value.update({key: "" for key, each in value.items() if each is None})
            elif field == "hooks" and isinstance(value, dict):
                make_texts(list(value.values()))
            elif field in _ON_THE_WAY:
                make_texts(value)


def _parameter(parameter: Any) -> None:
    if not isinstance(parameter, dict):
        return
    _text(parameter, "value")
    _text(parameter, "default")
    if isinstance(choices := parameter.get("enum"), list):
        parameter["enum"] = [text_of(each) for each in choices]
    if isinstance(source := parameter.get("valueFrom"), dict):
        _text(source, "default")


def _text(fields: dict[str, Any], name: str) -> None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        fields[name] = text_of(value)
