"""The shape of a workflow: as much of Argo's types as the engine relies on, checked before anything is reconciled.

Argo's clients and its controller decode manifests into Go structs, and refuse one where a field is of the wrong type.
Here documents stay documents, with all that is unknown in them; these structs only say what the known fields may be.
"""

from engine.shape.checking import WrongType, check_node, check_outputs, check_shape, check_template, explain, kind_of

__all__ = ["WrongType", "check_node", "check_outputs", "check_shape", "check_template", "explain", "kind_of"]
