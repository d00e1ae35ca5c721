"""The languages inside manifests: expressions (`{{=...}}`), conditions (`when`) and dependencies (`depends`)."""

from engine.expressions.errors import ExpressionError
from engine.expressions.program import Program, compile_expression, evaluate

__all__ = ["ExpressionError", "Program", "compile_expression", "evaluate"]
