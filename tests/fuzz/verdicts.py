"""What a target has to say of a case."""

from __future__ import annotations

import orjson

from engine import Workflow


class Wrong(Exception):
    """Something that must hold of a case does not; it says what, and shows the case."""

    def __init__(self, what: str, case: object) -> None:
        super().__init__(f"{what}\n{case}")
        self.what = what


def told_in_a_line(error: Exception, case: object) -> str:
    """The outcome of a case that was refused. Raises `Wrong` where the reason is not one line to be shown."""
    text = str(error)
    if not text.strip() or not text.isprintable() or len(text) > 5000:
        raise Wrong(f"the reason is no line: {text!r}", case)
    return "refused"


def check_written(work: Workflow, case: object) -> None:
    """What was written of a workflow is read as the same. Raises `Wrong`."""
    try:
        again = Workflow(orjson.loads(work.encode()))
    except Exception as error:
        raise Wrong(f"what was written cannot be read: {error!r}", case) from error
    if again.encode() != work.encode():
        raise Wrong("what was written is read as something else", case)
