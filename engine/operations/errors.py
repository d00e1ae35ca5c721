"""What an operation says where it cannot be."""

from __future__ import annotations


class OperationError(ValueError):
    """An operation that the state of the workflow does not allow, or that means nothing there is; it changed nothing.

    The message is one line that names what is wrong and what was expected.
    """


class AlreadySubmitted(OperationError):
    """An engine has an unfinished workflow of this name, or of this uid, or this very one."""
