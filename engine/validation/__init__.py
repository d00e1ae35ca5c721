"""Argo's rules for a spec: what its controller refuses before anything runs (its workflow/validate/validate.go).

Like there, templates are looked at in the order in which they are reached from the entrypoint, as that call fills them
in, and as a whole only once however often they are called; how deep they call one another does not matter.
"""

from engine.validation.workflow import validate, validate_template

__all__ = ["validate", "validate_template"]
