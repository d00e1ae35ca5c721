"""A record as it was written, and who gives it something to write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


class Read:
    """The lines of a record, by what they are."""

    def __init__(self, record: Path) -> None:
        self.text = record.read_text()
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in self.text.splitlines()]
        self.calls = [line for line in self.lines if "plugin" in line]
        self.ends = [line for line in self.lines if "ended" in line]
        self.bodies = {line["body"]: line for line in self.lines if "body" in line}

    def request(self, call: dict[str, Any]) -> Any:
        """What was sent, as it was."""
        name, _, place = call["request"].partition("/")
        body = self.bodies[name]
        if not place:
            return body["json"]
        batch = body["batch"]
        own = batch["calls"][int(place)]
        workflow = self.bodies[batch["workflow"]]["json"]
        return {"workflow": workflow, **own, "template": batch["templates"][own["template"]]}

    def about(self, name: str, **fields: str) -> list[dict[str, Any]]:
        """The calls about the node of that name."""
        found = [call for call in self.calls if call.get("node", {}).get("name", "") == name]
        return [call for call in found if fields.items() <= call.items()]


def saying(**said: dict[str, Any]) -> Any:
    """Has something to say to the nodes of these display names, with underscores."""
    return lambda args: said.get("_".join(re.findall(r"\w+", args["node"]["displayName"])), {})
