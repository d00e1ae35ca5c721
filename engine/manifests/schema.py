"""Makes `fields.json`, which says what fields manifests have, from Argo's published OpenAPI document.

That is `api/openapi-spec/swagger.json` in the repository of Argo Workflows, at the release that is to be followed::

    python -m engine.manifests.schema swagger.json > engine/manifests/fields.json

Of each type that a manifest may hold, its fields are kept, each with the type that its value is made of: a name for an
object or a list of them, the name behind a ``*`` for a mapping of them under names that are free, and nothing for what
holds no fields of its own, or any. A ``status`` is written by those who run workflows, and left to them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOTS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")

_ARGO: Final = "io.argoproj.workflow.v1alpha1."
_FREE: Final = "Plugin"
"""An object with any fields."""

_FORMER: Final = {
    "CronWorkflowSpec": {"schedule": ""},
    "Synchronization": {"mutex": "Mutex", "semaphore": "SemaphoreRef"},
    "Template": {"priority": ""},
    "WorkflowSpec": {"podPriority": ""},
}
"""Fields that releases before 4.0 knew and many manifests still have."""

Types = dict[str, dict[str, str]]


def compact(openapi: Mapping[str, Any]) -> Types:
    """The types that can be reached from `ROOTS`, each with its fields."""
    definitions = openapi["definitions"]
    types: Types = {}
    wanted = [*ROOTS]
    while wanted:
        name = wanted.pop()
        if name in types:
            continue
        definition = definitions.get(_ARGO + name) or definitions[f"io.k8s.{name}"]
        types[name] = {}
        for field, schema in (definition.get("properties") or {}).items():
            kind = types[name][field] = "" if field == "status" else _kind(schema, definitions)
            wanted += [kind.lstrip("*")] if kind else []
        types[name].update(_FORMER.get(name, {}))
    return types


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What the values of a field are made of; see above."""
    if "$ref" in schema:
        path = schema["$ref"].removeprefix("#/definitions/")
        definition = definitions[path]
        if definition.get("type") != "object":
            return _kind(definition, definitions)
        name = str(path.removeprefix(_ARGO).removeprefix("io.k8s."))
        return "" if name == _FREE or name.endswith(".FieldsV1") else name
    if "items" in schema:
        return _kind(schema["items"], definitions)
    within = _kind(schema["additionalProperties"], definitions) if "additionalProperties" in schema else ""
    return f"*{within}" if within else ""


def lines(types: Types) -> Iterator[str]:
    """JSON with a line for each type, so that a new release shows as what it changes."""
    yield "{"
    rows = [f"{json.dumps(name)}: {json.dumps(dict(sorted(types[name].items())))}" for name in sorted(types)]
    yield ",\n".join(rows)
    yield "}"


if __name__ == "__main__":
    print("\n".join(lines(compact(json.loads(Path(sys.argv[1]).read_text())))))
