"""Go durations."""

from __future__ import annotations

import pytest

from rpc.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("2m", 120),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("+3s", 3),
        ("1us", 1e-6),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


def test_a_text_of_any_length_is_judged_in_one_run_over_it() -> None:
    digits = "1" * 1_000_000
    with pytest.raises(ValueError, match=r"^'1{64}'\.\.\. is not a duration"):
        parse_duration(digits)
    with pytest.raises(ValueError, match="is longer than 292 years"):
        parse_duration(digits + "s")
    assert parse_duration("0." + digits + "s") == pytest.approx(1 / 9)


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "-1s", "1d", "1s2", "1e3s", "٣s", "1000000000h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|longer than"):
        parse_duration(text)
