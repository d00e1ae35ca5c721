"""The shape of a workflow: as much of Argo's types as the engine relies on, checked before anything is reconciled.

Argo's clients and its controller decode manifests into Go structs, and refuse one where a field is of the wrong type.
Here documents stay documents, with all that is unknown in them; these structs only say what the known fields may be.
"""

from collections.abc import Mapping
from typing import Any

from engine.shape.checking import WrongType, check_node, check_outputs, check_shape, check_template, explain, kind_of

Document = Mapping[str, Any]
"""A manifest, or a part of one that is a mapping. Nobody changes one that others may have."""

__all__ = [
    "Document",
    "WrongType",
    "check_node",
    "check_outputs",
    "check_shape",
    "check_template",
    "explain",
    "kind_of",
]
