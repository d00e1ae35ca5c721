"""What an engine says where something cannot be."""

from __future__ import annotations


class OperationError(ValueError):
    """What the state of a workflow or of the engine does not allow, or what means nothing there is; it changed nothing.

    The message is one line that names what is wrong and what was expected.
    """


class AlreadySubmitted(OperationError):
    """An engine has an unfinished workflow of this name, or of this uid, or this very one."""


class TooManyWorkflows(OperationError):
    """The engine has as many workflows as it may take in (`max_workflows`)."""


class Draining(OperationError):
    """The engine takes in nothing any more, since it was told to end."""


class UnknownWorkflow(OperationError):
    """A workflow or a handle that is not this engine's: it was never submitted here, or is forgotten."""


class UnknownLeaf(OperationError):
    """A report of a node that is not there, or is no leaf."""


class LeafEnded(OperationError):
    """A report of a leaf that had ended before: that end is what counts."""


class NotFinished(OperationError):
    """The workflow will not be finished here: it was forgotten or deleted, or the engine was drained or closed."""
