"""Whatever is in a record, reading it ends with its story or with one line that says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.recording.explaining import find, story
from engine.recording.format import Began, Body, Called, Ended, RecordError
from engine.recording.reading import Record
from rpc import Method

_RECORD: Final = b"""\
{"format":"oarlock-calls","version":1,"at":1.5,"oarlock":"0.1.0"}
{"began":1.5,"pass":1,"workflow":"ci/build","uid":"u-1"}
{"body":"w","json":{"metadata":{"name":"build","namespace":"ci","uid":"u-1"}}}
{"body":"b","batch":{"workflow":"w","templates":{"main":{"name":"main"}},"calls":[{"template":"main","node":{"id":"n-1","name":"build.a","displayName":"a","phase":"Pending"}}]}}
{"pass":1,"plugin":"one","method":"node.preExecute","at":1.6,"travelled":0.01,"outcome":"answered","request":"b/0","node":{"id":"n-1","name":"build.a"}}
{"body":"r","json":{"node":{"phase":"Failed"}}}
{"pass":1,"plugin":"two","method":"node.preExecute","at":1.7,"travelled":0.01,"outcome":"answered","changed":{"phase":["Pending","Failed"]},"reply":"r","request":"b/0","node":{"id":"n-1","name":"build.a"}}
{"pass":1,"plugin":"many","method":"node.preExecute","at":1.7,"travelled":0.01,"outcome":"answered","requests":["b/0-0"]}
{"ended":1.8,"pass":1,"result":"committed","phase":"Running","seconds":0.3}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "calls.jsonl"


def _read(file: Path, content: bytes, name: str) -> list[Began | Called | Ended]:
    file.write_bytes(content)
    with Record(file, str) as record:
        target = find(record, name, "")
        events = list(story(record, target))
        for event in events:
            if isinstance(event.told, Called):
                record.sent(event.told.request)
        return [event.told for event in events]


def test_a_pipe_is_refused_in_words() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(RecordError, match=f"/dev/fd/{reading}: expected a file, .* got a pipe"):
            Record(Path(f"/dev/fd/{reading}"), str)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_record_is_read_as_it_was_written(file: Path) -> None:
    for name in ("a", "build.a", "n-1", "build", "ci/build", "u-1", ""):
        began, silent, said, many, ended = _read(file, _RECORD, name)
        assert isinstance(began, Began)
        assert isinstance(silent, Called)
        assert isinstance(said, Called)
        assert said.changed == {"phase": ("Pending", "Failed")}
        assert isinstance(many, Called)
        assert (many.request, many.node, many.requests) == ("b/0", silent.node, [])
        assert isinstance(ended, Ended)
    with Record(file, str) as record:
        list(story(record, find(record, "a", "")))
        sent = record.sent("b/0")
        assert sent is not None
        assert sent.arguments["workflow"]["metadata"]["name"] == "build"
        assert set(Method.NODE_PRE_EXECUTE.arguments) <= set(sent.arguments)
        body = record.body("r")
        assert body == Body("r", json={"node": {"phase": "Failed"}})
        assert record.sent("b/1") is record.sent("b/x") is record.sent("nobody/0") is None


def _complaint(file: Path, content: bytes, name: str) -> str:
    try:
        _read(file, content, name)
    except RecordError as error:
        return str(error)
    return str(file)


@given(
    at=st.integers(0, len(_RECORD)),
    taken=st.integers(0, 40),
    put=st.binary(max_size=12),
    name=st.sampled_from(["a", ""]),
)
def test_nothing_in_a_record_is_more_than_one_line_of_complaint(
    file: Path, at: int, taken: int, put: bytes, name: str
) -> None:
    complaint = _complaint(file, _RECORD[:at] + put + _RECORD[at + taken :], name)
    assert complaint.startswith(str(file))
    assert "\n" not in complaint


@given(st.binary(max_size=200))
def test_nothing_else_is_taken_for_a_record(file: Path, content: bytes) -> None:
    with pytest.raises(RecordError, match="expected a"):
        _read(file, content, "")


@pytest.mark.parametrize("time", [b"1e300", b"-1e18", b"253402300800"])
def test_a_time_that_is_no_date_is_refused(file: Path, time: bytes) -> None:
    for begun in (b'"began":1.5', b'"at":1.7', b'"ended":1.8'):
        key = begun.partition(b":")[0]
        assert "expected a line of a record" in _complaint(file, _RECORD.replace(begun, key + b":" + time), "")


@pytest.mark.parametrize(
    "requests", ["b", "b/1", "b/0-1", "b/1-0", "b/0-", "b/-0", "b/0-99999999999", "nobody/0", "r/0", ""]
)
def test_requests_that_are_not_in_the_record_are_refused(file: Path, requests: str) -> None:
    content = _RECORD.replace(b"b/0-0", requests.encode())
    if requests.partition("/")[0] == "b":
        assert "line 8: expected requests that are in the record" in _complaint(file, content, "build.a")
    assert "line 8: expected requests that are in the record" in _complaint(file, content, "")
