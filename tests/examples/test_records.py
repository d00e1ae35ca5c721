"""docs/records.md is run as it is written, and lists every field of every line."""

from __future__ import annotations

import re

import msgspec
import pytest

from engine.recording.bodies import MOST_KNOWN
from engine.recording.format import Began, Body, Called, Ended, Header
from engine.recording.recorder import MAX_BODY
from tests.examples.conftest import ROOT, Checkout

PAGE = (ROOT / "docs/records.md").read_text()


def _printed(text: str) -> str:
    """What is to be compared of some output: no uid, and nothing of time."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "UID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d [\d:.]{12}", "NOW", text)
    return re.sub(r"\b\d+\.\d ms", "N ms", text).strip()


def test_every_block_does_what_it_says(checkout: Checkout) -> None:
    said = ""
    for language, text in re.findall(r"(?ms)^```(\w+)\n(.*?)^```", PAGE):
        if text.startswith("# leave this running\n"):
            checkout.leave_running(text.removeprefix("# leave this running\n").strip())
        elif language == "sh":
            said = checkout.run(text)
        else:
            assert _printed(said) == _printed(text)


@pytest.mark.parametrize("kind", [Header, Began, Called, Body, Ended])
def test_the_fields_of_every_line_are_listed(kind: type[msgspec.Struct]) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    tables = [set(re.findall(r"(?m)^\| `(\w+)` \|", table)) for table in PAGE.split("| field | |")[1:]]
    assert fields in tables


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"{MOST_KNOWN:,} bodies" in PAGE
    assert f"first {MAX_BODY >> 10} KiB" in PAGE
