"""Schedules mean what they mean to robfig/cron, which Argo has them read by."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.serving.schedules import InvalidSchedule, parse_schedule

NEW_YORK = ZoneInfo("America/New_York")


def following(schedule: str, after: datetime, count: int = 3) -> list[str]:
    """The next times, as they stand on the clocks of the zone in which `after` is."""
    found, moment = list[str](), after.timestamp()
    for _ in range(count):
        following = parse_schedule(schedule).after(moment)
        assert following is not None
        moment = following
        found.append(datetime.fromtimestamp(moment, after.tzinfo).strftime("%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("* * * * *", ["02 03:05:00", "02 03:06:00", "02 03:07:00"]),
        ("*/20 * * * *", ["02 03:20:00", "02 03:40:00", "02 04:00:00"]),
        ("5/25 * * * *", ["02 03:05:00", "02 03:30:00", "02 03:55:00"]),
        ("0 9-17/4 * * MON-FRI", ["02 09:00:00", "02 13:00:00", "02 17:00:00"]),
        ("0 0 ? * sun", ["08 00:00:00", "15 00:00:00", "22 00:00:00"]),
        ("0 0 10 * sun", ["08 00:00:00", "10 00:00:00", "15 00:00:00"]),  # either day will do
        ("0 0 */15 * sun", ["08 00:00:00", "15 00:00:00", "16 00:00:00"]),  # a step is no star
        ("0 0 10 mar,APR *", ["10 00:00:00", "10 00:00:00", "10 00:00:00"]),
        ("@hourly", ["02 04:00:00", "02 05:00:00", "02 06:00:00"]),
        ("@daily", ["03 00:00:00", "04 00:00:00", "05 00:00:00"]),
        ("@weekly", ["08 00:00:00", "15 00:00:00", "22 00:00:00"]),
        ("@every 1h30m", ["02 04:34:30", "02 06:04:30", "02 07:34:30"]),
        ("@every 10ms", ["02 03:04:31", "02 03:04:32", "02 03:04:33"]),
        ("CRON_TZ=America/New_York 0 4 * * *", ["02 09:00:00", "03 09:00:00", "04 09:00:00"]),
        ("TZ=Asia/Tokyo @daily", ["02 15:00:00", "03 15:00:00", "04 15:00:00"]),
    ],
)
def test_the_times_of_a_schedule(schedule: str, times: list[str]) -> None:
    zoned = schedule if "TZ=" in schedule else f"CRON_TZ=UTC {schedule}"
    assert following(zoned, datetime(2026, 3, 2, 3, 4, 30, 999, tzinfo=UTC)) == times


def test_a_time_that_the_clocks_leave_out_does_not_come() -> None:
    before = datetime(2026, 3, 7, 3, tzinfo=NEW_YORK)  # at 2 on the 8th it is 3
    assert following("CRON_TZ=America/New_York 30 2 * * *", before, 2) == ["09 02:30:00", "10 02:30:00"]


def test_a_time_that_comes_twice_counts_twice() -> None:
    before = datetime(2026, 10, 31, 3, tzinfo=NEW_YORK)  # at 2 on the 1st it is 1
    times = following("CRON_TZ=America/New_York 30 1 * * *", before, 3)
    assert times == ["01 01:30:00", "01 01:30:00", "02 01:30:00"]


def test_a_day_that_never_comes() -> None:
    assert parse_schedule("0 0 30 2 *").after(0) is None


def test_without_a_zone_the_machines_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.serving import schedules

    schedules._local_zone.cache_clear()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    try:
        assert following("0 0 * * *", datetime(2026, 3, 2, tzinfo=UTC), 1) == ["02 15:00:00"]
    finally:
        schedules._local_zone.cache_clear()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", "failed to parse int from x: expected a number"),
        (", * * * *", "failed to parse int from ,: expected a number"),
        ("* * L * *", "failed to parse int from L: expected a number"),
        ("* * * foo *", "failed to parse int from foo: expected a number"),
        ("@often", "unrecognized descriptor: @often"),
        ("CRON_TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
        ("CRON_TZ=../etc/passwd * * * * *", "provided bad location ../etc/passwd: unknown time zone ../etc/passwd"),
        ("CRON_TZ=America * * * * *", "provided bad location America: unknown time zone America"),
    ],
)
def test_what_is_no_schedule(schedule: str, message: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(schedule)
    assert str(caught.value) == message


def test_what_is_no_duration() -> None:
    with pytest.raises(InvalidSchedule, match=r"failed to parse duration @every soon: .*soon"):
        parse_schedule("@every soon")


@given(st.text(alphabet="*/,-?0123456789 @evrydailTZ=UC_RON", max_size=20))
def test_any_text_is_a_schedule_or_is_refused(text: str) -> None:
    with suppress(InvalidSchedule):
        parse_schedule(text)


_minutes = st.sets(st.integers(0, 59), min_size=1, max_size=3).map(sorted)
_hours = st.sets(st.integers(0, 23), min_size=1, max_size=3).map(sorted)


@pytest.mark.parametrize("schedule", ["*/7 * * * *", "30 1,2 * * *", "@every 7m", "0 0 31 * *", "0 0 30 2 *"])
@given(start=st.integers(0, 366 * 24 * 3600), span=st.integers(0, 40_000))
def test_the_last_time_before_a_moment(schedule: str, start: int, span: int) -> None:
    read = parse_schedule(f"CRON_TZ=America/New_York {schedule}")
    since = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + start
    last, following = None, read.after(since)
    while following is not None and following < since + span:
        last, following = following, read.after(following)
    assert read.before(since + span, since) == last


@given(_minutes, _hours, st.integers(0, 366 * 24 * 60), st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]))
def test_the_next_time_is_the_first_minute_that_matches(
    minutes: list[int], hours: list[int], minute: int, name: str
) -> None:
    zone, start = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute, seconds=17)
    schedule = f"CRON_TZ={name} {','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    moment = start.replace(second=0) + timedelta(minutes=1)
    while (there := moment.astimezone(zone)).hour not in hours or there.minute not in minutes:
        moment += timedelta(minutes=1)
    assert parse_schedule(schedule).after(start.timestamp()) == moment.timestamp()
