from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from bench import page
from bench.record import Record

pytestmark = pytest.mark.xdist_group("page of the bench")  # which takes most of a second to draw

_FETCHING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}


class Reader(HTMLParser):
    """Collects what a browser would fetch or run, and the text a person would read."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in _FETCHING]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(source: str) -> Reader:
    reader = Reader()
    reader.feed(source)
    return reader


@pytest.fixture(scope="module")
def source(record: Record) -> str:
    return page.render(record)


def test_the_page_fetches_nothing_and_runs_nothing(source: str) -> None:
    reader = read(source)
    assert reader.fetched == []
    assert not {"script", "link", "iframe", "img", "object"} & set(reader.tags)
    assert not re.search(r"url\((?!#)|@import", source)
    assert set(re.findall(r"https?://[^\s\"<']+", source)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_page_has_a_picture_for_every_kind_of_figure(source: str) -> None:
    reader = read(source)
    assert reader.tags.count("svg") == 10
    for heading in (
        "Ratios and their bars",
        "Peers side by side",
        "Latency",
        "Calls/s over time",
        "Limit over time",
        "Plugins",
        "Scenarios",
    ):
        assert heading in reader.text


def test_the_page_says_where_it_was_measured(record: Record, source: str) -> None:
    text = read(source).text
    for fact in (record.machine.cpu, record.machine.kernel, record.machine.command, record.machine.commit or ""):
        assert fact in text
    assert "with local changes" in text
    assert "pyreqwest: not installed" in text


def test_a_run_without_peers_and_scenarios_has_no_empty_sections(record: Record) -> None:
    small = msgspec.structs.replace(
        record, peers=[], scenarios=[], bars=[], micro=[], timeline=[], per_plugin=[], missing={}
    )
    reader = read(page.render(small))
    assert reader.tags.count("svg") == 1
    assert "Peers" not in reader.text
    assert "missing" not in reader.text


def test_names_from_a_config_file_cannot_break_out_of_the_page(record: Record) -> None:
    nasty = msgspec.structs.replace(record.per_plugin[0], name="<script>alert(1)</script>")
    assert "script" not in read(page.render(msgspec.structs.replace(record, per_plugin=[nasty]))).tags


def test_a_missed_bar_is_told_from_one_that_is_reached(source: str) -> None:
    text = read(source).text
    assert "✓ 0.95" in text
    assert "✗ 41 MiB" in text
