"""The workflows that are looped over: one step, any number of times over, as in ``examples/fan-out.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from engine import Workflow, load

MANIFEST: Final = Path(__file__).resolve().parent.parent / "examples" / "fan-out.yaml"

Leaf = Literal["container", "numbered", "plugin"]
"""What the step runs: a container, one that is told its number, or a plugin (`template.execute`)."""


def fan_out(nodes: int, *, leaf: Leaf = "container", padding: int = 0, name: str = "fan-out") -> Workflow:
    """A workflow that makes `nodes` leaves; `padding` bytes more in the template make every request that much longer.

    Raises `engine.ManifestError` where the manifest is not there, as in an installation without the examples.
    """
    (manifest,) = load([MANIFEST]).workflows
    document = manifest.document
    document["metadata"]["name"] = name
    document["spec"]["arguments"]["parameters"][0]["value"] = str(nodes)
    main, work = document["spec"]["templates"]
    if padding:
        work["metadata"] = {"annotations": {"padding": "x" * padding}}
    if leaf == "plugin":
        del work["container"]
        work["plugin"] = {"bench": {"message": "one of many"}}
    elif leaf == "numbered":
        _number(main["steps"][0][0], work)
    return Workflow(document)


def _number(step: dict[str, Any], work: dict[str, Any]) -> None:
    step["arguments"] = {"parameters": [{"name": "number", "value": "{{item}}"}]}
    work["inputs"] = {"parameters": [{"name": "number"}]}
    work["container"]["command"] = ["echo", "{{inputs.parameters.number}}"]
