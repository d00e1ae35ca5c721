"""Makes `fields.json`, which says what fields manifests have, from Argo's published OpenAPI document.

That is `api/openapi-spec/swagger.json` in the repository of Argo Workflows, at the release that is to be followed::

    python -m engine.manifests.schema swagger.json > engine/manifests/fields.json

Of each type that a manifest may hold, its fields are kept, each with the type of its value: an object's name;
``integer``, ``number``, ``boolean``, or nothing for a string; any of these behind ``[]`` for a list, behind ``*`` for
a mapping with names that are free; and ``?`` for what may be anything. A ``status`` is written by those who run
workflows, and left to them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine.manifests.fields import ANY, SCALARS

ROOTS: Final = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")

_ARGO: Final = "io.argoproj.workflow.v1alpha1."
_FREE: Final = ("Plugin", "Item", "FieldsV1")
"""Types that may be anything, or an object with any fields."""

_BESIDES: Final = {
    "CronWorkflowSpec": {"schedule": ""},
    "Parameter": {"default": ANY, "enum": f"[]{ANY}", "value": ANY},
    "Synchronization": {"mutex": "Mutex", "semaphore": "SemaphoreRef"},
    "Template": {"priority": "integer"},
    "ValueFrom": {"default": ANY},
    "WorkflowSpec": {"podPriority": "integer"},
}
"""Fields that releases before 4.0 knew and many manifests still have; and those that are strings by the document, and
decoded from whatever there is (Argo's AnyString)."""

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
            kind = types[name][field] = ANY if field == "status" else _kind(schema, definitions)
            wanted += [within] if (within := kind.strip("[]*")) not in SCALARS else []
        types[name].update(_BESIDES.get(name, {}))
    return types


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The type of a field's value; see above."""
    if "$ref" in schema:
        path = schema["$ref"].removeprefix("#/definitions/")
        name = str(path.removeprefix(_ARGO).removeprefix("io.k8s."))
        if name.rpartition(".")[2] in _FREE:
            return ANY
        return name if definitions[path].get("type") == "object" else _kind(definitions[path], definitions)
    if "items" in schema:
        return f"[]{_kind(schema['items'], definitions)}"
    if "additionalProperties" in schema:
        return f"*{_kind(schema['additionalProperties'], definitions)}"
    kind = schema.get("type", ANY)
    return "" if kind == "string" else kind if kind in SCALARS else ANY


def lines(types: Types) -> Iterator[str]:
    """JSON with a line for each type, so that a new release shows as what it changes."""
    yield "{"
    rows = [f"{json.dumps(name)}: {json.dumps(dict(sorted(types[name].items())))}" for name in sorted(types)]
    yield ",\n".join(rows)
    yield "}"


if __name__ == "__main__":
    print("\n".join(lines(compact(json.loads(Path(sys.argv[1]).read_text())))))
