"""What a plugin's Retry-After says, whatever it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc import Client, Method, RetryPolicy, TransientError
from rpc.statuses import MAX_RETRY_AFTER, parse_retry_after

OVERFLOWING = "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"
NEITHER = [
    "",
    "soon",
    "-1",
    "1.5",
    "1e3",
    "\u0663",
    "Wed, 21 Oct",
    OVERFLOWING,
    "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
    "Wed, 99 Oct 2015 07:28:00 GMT",
    "9" * 60_000 + " Oct",
]


@pytest.mark.parametrize("value", NEITHER)
def test_what_is_no_number_and_no_date_says_nothing(value: str) -> None:
    assert parse_retry_after(value) is None


@pytest.mark.parametrize("value", ["3601", "9" * 10, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_what_is_too_long_counts_as_an_hour(value: str) -> None:
    assert parse_retry_after(value) == MAX_RETRY_AFTER


@pytest.mark.parametrize("value", ["0", " 0 ", "Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT"])
def test_what_is_over_is_no_time_at_all(value: str) -> None:
    assert parse_retry_after(value) == 0.0


def test_a_date_says_how_long_until_then() -> None:
    then = datetime.now(UTC) + timedelta(seconds=90)
    wait = parse_retry_after(format_datetime(then, usegmt=True))
    assert wait is not None
    assert 0.0 < wait <= 90.0


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["Wed,", "21", "Oct", "2015", "07:28:00", "GMT", "+", "9" * 20, "-"])).map(" ".join),
    )
)
def test_whatever_is_said_is_a_bounded_time_or_nothing(value: str) -> None:
    wait = parse_retry_after(value)
    assert wait is None or 0.0 <= wait <= MAX_RETRY_AFTER


@pytest.mark.parametrize("lane", ["aiohttp", "wire"])
@pytest.mark.parametrize("value", [OVERFLOWING, "soon", "9" * 400])
async def test_a_503_is_transient_whatever_its_retry_after(lane: Any, value: str, scripted: Any, http: Any) -> None:
    peer = await scripted(http("503 Busy", b"", f"Retry-After: {value}"))
    async with Client(peer.address, lane=lane, protocol="short", retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(TransientError, match="503"):
            await client.call(Method.NODE_PRE_EXECUTE, {})
