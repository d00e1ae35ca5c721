"""Argo's rules for a spec: what its controller refuses before anything runs (its workflow/validate/validate.go).

Like there, templates are looked at as they were written, each in the order in which it is reached from the entrypoint,
and only once however often it is called; how deep they call one another does not matter.
"""

from engine.validation.workflow import validate

__all__ = ["validate"]
