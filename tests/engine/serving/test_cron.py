"""What is decided of CronWorkflows, as Argo's controller decides it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.clock import timestamp
from engine.serving import cron
from engine.serving.cron import Finished, InvalidCron

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
MINUTE, HOUR = 60, 3600


def document(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {
            "name": "nightly",
            "namespace": "team",
            "uid": "u-1",
            "labels": {"app": "web"},
            "annotations": {"cronworkflows.argoproj.io/last-used-schedule": "CRON_TZ=UTC 0 * * * *"},
        },
        "spec": {"schedules": ["0 * * * *"], "timezone": "UTC", "workflowSpec": {"entrypoint": "main"}, **(spec or {})},
        "status": status or {},
    }


def ran(at: float, **status: Any) -> dict[str, Any]:
    return {"lastScheduledTime": timestamp(at), **status}


ACTIVE = {"active": [{"name": "nightly-1", "namespace": "team", "uid": "w-1"}]}


def decided(spec: dict[str, Any], status: dict[str, Any] | None = None) -> cron.Verdict:
    return cron.verdict(cron.read(document(spec, status)), NINE)


# Times


def test_of_several_schedules_the_next_counts() -> None:
    read = cron.read(document({"schedules": ["30 9 * * *", "@hourly", "15 * * * *"]}))
    assert cron.next_time(read, NINE) == NINE + 15 * MINUTE


def test_one_schedule_may_stand_alone_and_in_a_zone() -> None:
    read = cron.read(document({"schedule": "0 4 * * *", "schedules": None, "timezone": "America/New_York"}))
    assert cron.next_time(read, NINE - 1) == NINE


def test_after_a_jump_of_the_clock_each_schedule_is_due_once() -> None:
    read = cron.read(document({"schedules": ["@hourly", "30 * * * *", "0 * * * *"]}))
    assert cron.due(read, NINE, NINE + 5 * HOUR) == [NINE + 30 * MINUTE, NINE + HOUR]


def test_nothing_is_due_before_its_time() -> None:
    assert cron.due(cron.read(document()), NINE, NINE + HOUR - 1) == []


def test_the_last_missed_time_is_made_up_for_within_the_deadline() -> None:
    read = cron.read(document({"startingDeadlineSeconds": 600}, ran(NINE)))
    assert cron.missed(read, NINE + 5 * HOUR + 599) == NINE + 5 * HOUR
    assert cron.missed(read, NINE + 5 * HOUR + 600) is None
    assert cron.missed(read, NINE + 59 * MINUTE) is None


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({}, ran(NINE)),
        ({"startingDeadlineSeconds": 0}, ran(NINE)),
        ({"startingDeadlineSeconds": 600}, {}),
        ({"startingDeadlineSeconds": 600, "schedules": ["*/5 * * * *"]}, ran(NINE)),
    ],
)
def test_nothing_is_made_up_for(spec: dict[str, Any], status: dict[str, Any]) -> None:
    assert cron.missed(cron.read(document(spec, status)), NINE + HOUR + 1) is None


@given(
    st.lists(st.sampled_from(["*/7 * * * *", "@hourly", "@every 90s", "5 4 * * *"]), min_size=1, max_size=3),
    st.integers(0, 5 * HOUR),
    st.lists(st.integers(1, 3 * HOUR), max_size=8),
)
def test_each_time_that_is_seen_to_is_one_of_its_schedules_and_none_comes_twice(
    schedules: list[str], start: int, waits: list[int]
) -> None:
    read = cron.read(document({"schedules": schedules}))
    since, seen = NINE + start, list[float]()
    for wait in waits:
        now = since + wait
        times = cron.due(read, since, now)
        assert all(since < each <= now for each in times)
        following = cron.next_time(read, since)
        assert bool(times) == (following is not None and following <= now)
        seen, since = seen + times, now
    assert seen == sorted(set(seen))


# Whether one is made


def test_by_default_one_is_made_whatever_is_active() -> None:
    assert decided({}, ACTIVE) == cron.Verdict(run=True)


def test_a_suspended_one_makes_none() -> None:
    assert decided({"suspend": True}).why == "it is suspended"


def test_forbid_waits_for_the_active_one() -> None:
    assert decided({"concurrencyPolicy": "Forbid"}, ACTIVE) == (
        False,
        "nightly-1 is active, and concurrencyPolicy is Forbid",
        (),
    )
    assert decided({"concurrencyPolicy": "Forbid"}).run


def test_replace_terminates_the_active_one() -> None:
    found = decided({"concurrencyPolicy": "Replace"}, ACTIVE)
    assert (found.run, [each.name for each in found.terminated]) == (True, ["nightly-1"])


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("{{cronworkflow.failed}} < 3", True),
        ("{{cronworkflow.failed}} < 2", False),
        ("{{= cronworkflow.failed + cronworkflow.succeeded == 3 }}", True),
        ("{{= cronworkflow.lastScheduledTime == nil }}", False),
        ("{{= (now() - cronworkflow.lastScheduledTime).Seconds() > 360 }}", True),
        ("{{= cronworkflow.labels['app'] == 'web' }} && {{cronworkflow.name}} == nightly", True),
    ],
)
def test_when(when: str, holds: bool) -> None:
    assert decided({"when": when}, ran(NINE - 400, failed=2, succeeded=1)).run == holds


def test_when_before_the_first_time() -> None:
    assert decided({"when": "{{= cronworkflow.lastScheduledTime == nil || false }}"}).run


@pytest.mark.parametrize("when", ["{{cronworkflow.other}} == 1", "{{= 1 + }}", "1 +", "{{x}}"])
def test_a_condition_that_cannot_be_evaluated(when: str) -> None:
    with pytest.raises(InvalidCron, match=r"^when: "):
        decided({"when": when})


def test_a_stop_strategy_ends_it() -> None:
    spec = {"stopStrategy": {"expression": "cronworkflow.failed >= 2"}}
    assert decided(spec, {"failed": 1}).run
    assert decided(spec, {"failed": 2}).why == "its stopStrategy has ended it"
    assert not decided(spec, {"failed": 0, "phase": "Stopped"}).run


@pytest.mark.parametrize("expression", ["cronworkflow.failed", "1 +", "other >= 1"])
def test_a_stop_strategy_that_says_nothing(expression: str) -> None:
    with pytest.raises(InvalidCron, match=r"^failed to evaluate stop expression: "):
        decided({"stopStrategy": {"expression": expression}})


# What is made


def test_the_workflow_of_a_time() -> None:
    made = cron.workflow_of(document({"workflowMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}), NINE)
    assert made["metadata"] == {
        "name": f"nightly-{int(NINE)}",
        "namespace": "team",
        "labels": {"workflows.argoproj.io/cron-workflow": "nightly", "a": "b"},
        "annotations": {"c": "d", "workflows.argoproj.io/scheduled-time": "2026-03-02T09:00:00Z"},
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "CronWorkflow",
                "name": "nightly",
                "uid": "u-1",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert made["spec"] == {"entrypoint": "main"}


# Its status


WORKFLOW = {"metadata": {"name": "nightly-1", "namespace": "team", "uid": "w-1"}}


def test_a_run_is_active_until_it_ends_and_counts_then() -> None:
    begun = cron.with_run(document(), WORKFLOW, NINE)
    assert [each["name"] for each in begun["status"]["active"]] == ["nightly-1"]
    assert cron.with_active(begun, WORKFLOW) is begun
    assert (begun["status"]["phase"], begun["status"]["lastScheduledTime"]) == ("Active", "2026-03-02T09:00:00Z")
    ended = cron.with_ended(begun, {"w-1": "Succeeded", "w-2": "Failed"}, NINE)
    assert (ended["status"]["active"], ended["status"]["succeeded"]) == ([], 1)
    assert "failed" not in ended["status"]
    assert cron.with_ended(begun, {"w-1": "Error"}, NINE)["status"]["failed"] == 1


def test_one_that_was_deleted_does_not_count() -> None:
    ended = cron.with_ended(document(status=ACTIVE), {"w-1": ""}, NINE)
    assert ended["status"] == {"active": []}


def test_the_last_allowed_failure_stops_it_for_good() -> None:
    spec = {"stopStrategy": {"expression": "cronworkflow.failed >= 1"}}
    ended = cron.with_ended(document(spec, ACTIVE), {"w-1": "Failed"}, NINE)
    assert ended["status"]["phase"] == "Stopped"
    assert ended["metadata"]["labels"]["cronworkflows.argoproj.io/completed"] == "true"


def test_conditions_come_and_go() -> None:
    wrong = cron.with_condition(cron.with_condition(document(), "SubmissionError", "a"), "SubmissionError", "b")
    assert wrong["status"] == {
        "conditions": [{"type": "SubmissionError", "message": "b", "status": "True"}],
        "failed": 2,
    }
    assert cron.with_run(wrong, WORKFLOW, NINE)["status"]["conditions"] == []


def test_the_oldest_finished_ones_are_surplus() -> None:
    finished = [Finished(f"s-{at}", succeeded=True, finished_at=timestamp(at)) for at in range(5)]
    finished += [Finished(f"f-{at}", succeeded=False, finished_at=timestamp(at)) for at in range(3)]
    assert sorted(cron.surplus(cron.read(document()), finished)) == ["f-0", "f-1", "s-0", "s-1"]
    limits = cron.read(document({"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 9}))
    assert sorted(cron.surplus(limits, finished)) == ["s-0", "s-1", "s-2", "s-3", "s-4"]


# What is refused


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schedule": "@daily"}, "cron workflow cant be configured with both Spec.Schedule and Spec.Schedules"),
        ({"schedules": []}, "cron workflow must have at least one schedule"),
        (
            {"schedules": ["@daily", "60 * * * *"], "timezone": None},
            "cron schedule 60 * * * * is malformed: end of range (60) above maximum (59): 60",
        ),
        (
            {"timezone": "Mars"},
            "cron schedule CRON_TZ=Mars 0 * * * * is malformed: provided bad location Mars: unknown time zone Mars",
        ),
        ({"concurrencyPolicy": "Queue"}, "'Queue' is not a valid concurrencyPolicy"),
        ({"startingDeadlineSeconds": -1}, "startingDeadlineSeconds must be positive"),
    ],
)
def test_what_argo_refuses(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCron) as caught:
        cron.check(cron.read(document(spec)))
    assert str(caught.value) == message


def test_a_name_that_leaves_no_room_for_the_seconds() -> None:
    long = document()
    long["metadata"]["name"] = "n" * 53
    with pytest.raises(InvalidCron, match=r"must not be more than 52 characters long \(currently 53\)"):
        cron.check(cron.read(long))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schedules": "@daily"}, "spec.schedules: expected a list, got a string"),
        ({"suspend": "yes"}, "spec.suspend: expected a boolean, got a string"),
        ({"workflowSpec": []}, "spec.workflowSpec: expected a mapping, got a list"),
        ({"startingDeadlineSeconds": "5"}, "spec.startingDeadlineSeconds: expected a whole number, got a string"),
    ],
)
def test_fields_of_the_wrong_type(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCron) as caught:
        cron.read(document(spec))
    assert str(caught.value) == message
