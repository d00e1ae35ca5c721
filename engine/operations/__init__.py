"""What is done to a workflow from outside: which nodes are meant, what they are told, and what a retry begins anew."""

from engine.operations.amending import with_parameters, with_spec
from engine.operations.errors import OperationError
from engine.operations.resuming import answers
from engine.operations.retrying import Retried, retried

__all__ = ["OperationError", "Retried", "answers", "retried", "with_parameters", "with_spec"]
