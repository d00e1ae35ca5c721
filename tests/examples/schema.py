"""docs/batch.schema.json, and how a document is held against a part of it."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from tests.examples.conftest import ROOT

SCHEMA = json.loads((ROOT / "docs/batch.schema.json").read_text())


def validator(part: str) -> Draft202012Validator:
    """For one definition of the schema, such as ``node.preExecute.reply``."""
    assert part in SCHEMA["$defs"]
    return Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{part}"})


def check(part: str, document: Any) -> None:
    """Raises `jsonschema.ValidationError` where the document is not what the schema says."""
    validator(part).validate(document)
