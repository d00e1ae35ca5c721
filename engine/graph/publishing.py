"""Global outputs: what nodes leave for the whole workflow (Argo's addOutputsToGlobalScope)."""

from __future__ import annotations

from typing import Any

from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.variables import text_of


class GlobalOutputs:
    """What has a `globalName`, as variables of the workflow's scope and as its `status.outputs`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._found: dict[str, dict[str, Document]] = {"parameters": {}, "artifacts": {}}
        self.version = 0
        """How often something was published."""

    def publish(self, outputs: Document) -> None:
        """Take over what a node's outputs have for the workflow."""
        for parameter in outputs.get("parameters") or ():
            name = parameter.get("globalName")
            if name and parameter.get("value") is not None:
                value = text_of(parameter["value"])
                self._add("parameters", name, {"name": name, "value": value}, value)
        for artifact in outputs.get("artifacts") or ():
            name = artifact.get("globalName")
            if name:
                kept = {key: value for key, value in artifact.items() if key not in ("globalName", "path")}
                found = {**kept, "name": name}
                self._add("artifacts", name, found, found)

    def _add(self, kind: str, name: str, document: Document, variable: object) -> None:
        self._found[kind][name] = document
        self._scope[f"workflow.outputs.{kind}.{name}"] = variable
        self.version += 1

    def merged_into(self, document: dict[str, Any]) -> dict[str, Any]:
        """The workflow with these outputs in its status; what they replace stays where it was."""
        if not self.version:
            return document
        status = document["status"]
        outputs: dict[str, Any] = dict(status.get("outputs") or {})
        for kind, found in self._found.items():
            if found:
                known = {each["name"]: each for each in outputs.get(kind) or ()}
                outputs[kind] = list({**known, **found}.values())
        return {**document, "status": {**status, "outputs": outputs}}
