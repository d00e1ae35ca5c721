"""What two replies mean, and where that differs: as the protocol reads them, not by their bytes.

What is left out, null, or an empty object where nothing is said means the same; so do two spellings of a duration, a
number and its text as the value of an output parameter, and a 404 and `{}`. Keys have no order, nor have the
parameters and artifacts of a node's outputs, and keys that the protocol does not know mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from engine.substitution.variables import text_of
from rpc import Method, PluginError
from rpc.credentials import HIDDEN
from rpc.replies import NodeReply, ParametersReply, Reply, WorkflowReply, validate


class Difference(NamedTuple):
    """A field of a reply that means something else, as it was recorded and as it is now; None where it is not there."""

    field: str
    recorded: Any
    now: Any


def meaning(outcome: Reply | PluginError) -> dict[str, Any]:
    """What comes of a call, as a document to be compared; of a reply what it says, of a failure its kind and status."""
    if isinstance(outcome, PluginError):
        return refusal(outcome.outcome, outcome.status)
    found: dict[str, Any] = {}
    match outcome:
        case WorkflowReply(workflow=patch):
            found = {"workflow": patch}
        case ParametersReply(parameters=parameters):
            found = {"parameters": parameters}
        case NodeReply(node=node, requeue=requeue):
            said = {} if node is None else {name: getattr(node, name) for name in ("phase", "message", "progress")}
            outputs = _outputs(node.outputs) if node is not None and node.outputs else None
            said = {name: value for name, value in {**said, "outputs": outputs}.items() if value is not None}
            found = {"node": said, "requeue": requeue}
    return {name: value for name, value in found.items() if value not in (None, {})}


def meaning_of(method: Method, document: dict[str, Any]) -> dict[str, Any]:
    """That of a reply that was recorded. Raises `rpc.replies.IllegalReply`."""
    return meaning(validate(method, document)[0])


def refusal(outcome: str, status: int | None) -> dict[str, Any]:
    """What is compared where there was no reply."""
    return {"failure": outcome if status is None else f"{outcome}, status {status}"}


def differences(recorded: Any, now: Any, path: str = "") -> Iterator[Difference]:
    """Where two such documents differ; what was left out of the recorded one as a secret may be anything."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            yield from differences(recorded.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for number, (old, new) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif not _alike(recorded, now):
        yield Difference(path, recorded, now)


def _alike(recorded: Any, now: Any) -> bool:
    if isinstance(recorded, str) and HIDDEN in recorded:
        pattern = ".*".join(map(re.escape, recorded.split(HIDDEN)))
        return re.fullmatch(pattern, str(now), re.DOTALL) is not None
    return (type(recorded) is type(now) and bool(recorded == now)) or (
        {type(recorded), type(now)} == {int, float} and recorded == now
    )


def _outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """With their parameters and artifacts in the order of their names, by which they are found."""
    parameters = [
        each if each.get("value") is None else {**each, "value": text_of(each["value"])}
        for each in outputs.get("parameters") or ()
    ]
    named = {"parameters": parameters, "artifacts": outputs.get("artifacts") or ()}
    return {**outputs, **{key: sorted(found, key=_name_of) for key, found in named.items() if found}}


def _name_of(output: dict[str, Any]) -> str:
    return str(output.get("name"))
