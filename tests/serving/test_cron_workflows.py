"""CronWorkflows are kept, validated, suspended, and fire: once for each time, also across a death of the server."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any

import pytest

from engine import PendingExecutor
from engine.model.clock import timestamp
from engine.storage.memory import MemoryStore
from engine.storage.store import StoreError
from tests.serving.keeping import NINE, SPEC, Clock, Served, served

PATH = "cron-workflows/team"
HOUR = 3600


def cron(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "nightly", "labels": {"app": "web"}},
        "spec": {"schedules": ["0 * * * *"], "timezone": "UTC", "workflowSpec": SPEC, **spec},
    }


async def keep(it: Served, **spec: Any) -> Any:
    made = await it.ok("POST", PATH, {"cronWorkflow": cron(**spec)})
    await it.firing.turn()
    return made


async def at(it: Served, now: float) -> None:
    """Let it be that time."""
    it.clock.now = now
    await it.firing.turn()


async def finish(it: Served) -> None:
    """Let all workflows end that can."""
    await it.engine.run()
    await it.firing.turn()


def names(it: Served) -> list[str]:
    return sorted(each.key[1] for each in it.records.hub.items.values())


async def status(it: Served) -> Any:
    return (await it.ok("GET", f"{PATH}/nightly"))["status"]


def named(*times: float) -> list[str]:
    return [f"nightly-{int(each)}" for each in times]


# Operations


async def test_one_is_kept_shown_listed_changed_and_deleted() -> None:
    async with served() as it:
        made = await keep(it)
        assert (made["apiVersion"], made["kind"]) == ("argoproj.io/v1alpha1", "CronWorkflow")
        assert made["metadata"]["namespace"] == "team"
        assert await it.ok("GET", f"{PATH}/nightly") == made
        listed = await it.ok("GET", PATH, **{"listOptions.labelSelector": "app=web"})
        assert (listed["kind"], listed["items"]) == ("CronWorkflowList", [made])
        body = {"cronWorkflow": {**made, "spec": {**made["spec"], "schedules": ["@daily"]}}}
        changed = await it.ok("PUT", f"{PATH}/nightly", body)
        assert (changed["spec"]["schedules"], changed["metadata"]["generation"]) == (["@daily"], 2)
        assert (await it.refused("PUT", f"{PATH}/nightly", body))[:2] == (409, 6)
        assert await it.ok("DELETE", f"{PATH}/nightly") == {}
        found = await it.refused("GET", f"{PATH}/nightly")
        assert found == (404, 5, 'cronworkflows.argoproj.io "nightly" not found')


async def test_one_is_suspended_and_resumed() -> None:
    async with served() as it:
        await keep(it)
        suspended = await it.ok("PUT", f"{PATH}/nightly/suspend", {"name": "nightly", "namespace": "team"})
        assert suspended["spec"]["suspend"] is True
        await at(it, NINE + HOUR)
        assert names(it) == []
        assert (await it.ok("PUT", f"{PATH}/nightly/resume", {}))["spec"]["suspend"] is False
        await at(it, NINE + 2 * HOUR)
        assert names(it) == named(NINE + 2 * HOUR)
        for operation in ("suspend", "resume"):
            assert (await it.refused("PUT", f"{PATH}/gone/{operation}", {}))[:2] == (404, 5)
            assert (await it.refused("PUT", f"{PATH}/nightly/{operation}", []))[:2] == (400, 3)


async def test_lint_answers_it_as_it_came() -> None:
    async with served() as it:
        linted = await it.ok("POST", f"{PATH}/lint", {"cronWorkflow": cron()})
        assert linted["spec"] == cron()["spec"]
        assert (await it.ok("GET", PATH))["items"] == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schedules": ["61 * * * *"]}, "cron schedule CRON_TZ=UTC 61 * * * * is malformed: end of range (61)"),
        ({"schedules": []}, "cron workflow must have at least one schedule"),
        ({"schedules": "@daily"}, "spec.schedules: expected a list, got a string"),
        ({"concurrencyPolicy": "Queue"}, "'Queue' is not a valid concurrencyPolicy"),
        ({"startingDeadlineSeconds": -1}, "startingDeadlineSeconds must be positive"),
        ({"workflowSpec": None}, "spec.workflowSpec: expected a mapping, got nothing"),
        ({"workflowSpec": {**SPEC, "entrypoint": "gone"}}, "cannot validate Workflow: template name 'gone' undefined"),
        ({"workflowSpec": {"templates": []}}, "cannot validate Workflow: spec.entrypoint is required"),
        ({"workflowMetadata": {"labels": []}}, "spec.workflowMetadata.labels: expected a mapping, got a list"),
        ({"schedule": 5, "schedules": None}, "spec.schedule: expected a string, got a whole number"),
    ],
)
async def test_what_argo_refuses(spec: dict[str, Any], message: str) -> None:
    async with served() as it:
        for path in (PATH, f"{PATH}/lint"):
            status, code, found = await it.refused("POST", path, {"cronWorkflow": cron(**spec)})
            assert (status, code) == (400, 3)
            assert found.startswith(message)
        await keep(it)
        assert (await it.refused("PUT", f"{PATH}/nightly", {"cronWorkflow": cron(**spec)}))[:2] == (400, 3)
        assert await it.refused("POST", PATH, {}) == (400, 3, "cronWorkflow body not specified")


async def test_a_template_that_is_not_there_is_not_found() -> None:
    async with served() as it:
        spec = {"workflowTemplateRef": {"name": "gone"}}
        found = await it.refused("POST", PATH, {"cronWorkflow": cron(workflowSpec=spec)})
        assert found == (404, 5, 'cannot validate Workflow: workflowtemplates.argoproj.io "gone" not found')


# Firing


async def test_it_fires_at_its_times_and_at_no_other() -> None:
    async with served() as it:
        await keep(it)
        await at(it, NINE + HOUR - 1)
        assert names(it) == []
        await at(it, NINE + HOUR)
        await at(it, NINE + HOUR + 1)
        await at(it, NINE + 2 * HOUR + 3)
        assert names(it) == named(NINE + HOUR, NINE + 2 * HOUR)
        workflow = it.records.find("team", named(NINE + HOUR)[0]).document
        assert workflow["metadata"]["labels"] == {"workflows.argoproj.io/cron-workflow": "nightly"}
        assert workflow["metadata"]["annotations"] == {"workflows.argoproj.io/scheduled-time": timestamp(NINE + HOUR)}


async def test_its_status_tells_what_has_become_of_them() -> None:
    async with served() as it:
        await keep(it)
        assert await status(it) == {}
        await at(it, NINE + HOUR)
        found = await status(it)
        assert [each["name"] for each in found["active"]] == named(NINE + HOUR)
        assert (found["phase"], found["lastScheduledTime"]) == ("Active", timestamp(NINE + HOUR))
        await finish(it)
        found = await status(it)
        assert (found["active"], found["succeeded"]) == ([], 1)


async def test_a_change_keeps_its_status_and_fires_for_no_time_that_has_gone() -> None:
    async with served() as it:
        await keep(it)
        await at(it, NINE + HOUR)
        changed = cron(schedules=["30 * * * *"])
        assert (await it.ok("PUT", f"{PATH}/nightly", {"cronWorkflow": changed}))["status"] == await status(it)
        await at(it, NINE + HOUR + 1)
        await at(it, NINE + HOUR + 1800)
        assert names(it) == named(NINE + HOUR, NINE + HOUR + 1800)


async def test_forbid_skips_while_one_is_active() -> None:
    async with served(executor=PendingExecutor()) as it:
        await keep(it, concurrencyPolicy="Forbid")
        await at(it, NINE + HOUR)
        await at(it, NINE + 2 * HOUR)
        assert names(it) == named(NINE + HOUR)
        await it.records.delete(it.records.find("team", *named(NINE + HOUR)))
        await at(it, NINE + 3 * HOUR)
        assert names(it) == named(NINE + 3 * HOUR)


async def test_replace_terminates_the_one_that_is_active() -> None:
    async with served(executor=PendingExecutor()) as it:
        await keep(it, concurrencyPolicy="Replace")
        await at(it, NINE + HOUR)
        first = it.records.find("team", *named(NINE + HOUR))
        assert first.workflow is not None
        await it.engine.reconcile(first.workflow)
        await at(it, NINE + 2 * HOUR)
        await it.engine.reconcile(first.workflow)
        assert first.document["status"]["phase"] == "Failed"
        await it.firing.turn()
        found = await status(it)
        assert [each["name"] for each in found["active"]] == named(NINE + 2 * HOUR)
        assert found["failed"] == 1


async def test_history_is_kept_as_long_as_it_says() -> None:
    async with served() as it:
        await keep(it, successfulJobsHistoryLimit=2)
        for hour in range(1, 5):
            await at(it, NINE + hour * HOUR)
            await finish(it)
        assert names(it) == named(NINE + 3 * HOUR, NINE + 4 * HOUR)
        assert (await status(it))["succeeded"] == 4


async def test_a_stop_strategy_ends_it_for_good() -> None:
    async with served() as it:
        await keep(it, stopStrategy={"expression": "cronworkflow.succeeded >= 2"})
        for hour in range(1, 5):
            await at(it, NINE + hour * HOUR)
            await finish(it)
        assert names(it) == named(NINE + HOUR, NINE + 2 * HOUR)
        found = await it.ok("GET", f"{PATH}/nightly")
        assert found["status"]["phase"] == "Stopped"
        assert found["metadata"]["labels"]["cronworkflows.argoproj.io/completed"] == "true"


async def test_when_decides_at_each_time() -> None:
    async with served() as it:
        await keep(it, when="{{cronworkflow.succeeded}} < 1")
        for hour in (1, 2):
            await at(it, NINE + hour * HOUR)
            await finish(it)
        assert names(it) == named(NINE + HOUR)


async def test_what_cannot_be_submitted_is_said_and_does_not_stop_the_others() -> None:
    async with served() as it:
        template = {"metadata": {"name": "build"}, "spec": SPEC}
        await it.ok("POST", "workflow-templates/team", {"template": template})
        await keep(it, workflowSpec={"workflowTemplateRef": {"name": "build"}})
        other = {**cron(), "metadata": {"name": "other"}}
        await it.ok("POST", PATH, {"cronWorkflow": other})
        await it.firing.turn()
        await it.ok("DELETE", "workflow-templates/team/build")
        await at(it, NINE + HOUR)
        assert names(it) == [f"other-{int(NINE + HOUR)}"]
        found = await status(it)
        assert [each["type"] for each in found["conditions"]] == ["SubmissionError"]
        assert "not found" in found["conditions"][0]["message"]
        assert found["failed"] == 1
        await it.ok("POST", "workflow-templates/team", {"template": template})
        await at(it, NINE + 2 * HOUR)
        assert (await status(it))["conditions"] == []


async def test_an_expression_that_fails_is_a_condition_until_it_does_not() -> None:
    async with served() as it:
        await keep(it, when="{{= nothing.of.that }}")
        for hour in (1, 2):
            await at(it, NINE + hour * HOUR)
        assert names(it) == []
        assert [each["type"] for each in (await status(it))["conditions"]] == ["SpecError"]
        await it.ok("PUT", f"{PATH}/nightly", {"cronWorkflow": cron()})
        await at(it, NINE + 3 * HOUR)
        assert names(it) == named(NINE + 3 * HOUR)
        assert (await status(it))["conditions"] == []


async def test_a_deleted_one_fires_no_more_and_what_it_made_goes_on() -> None:
    async with served() as it:
        await keep(it)
        await at(it, NINE + HOUR)
        await it.ok("DELETE", f"{PATH}/nightly")
        await at(it, NINE + 2 * HOUR)
        assert names(it) == named(NINE + HOUR)
        await keep(it)
        assert await status(it) == {}  # another one of its name has nothing to do with it


async def test_it_fires_by_itself_when_its_time_comes() -> None:
    async with served() as it:
        it.engine.clock = time.time
        await it.ok("POST", PATH, {"cronWorkflow": cron(schedules=["@every 1s"])})
        async with aclosing(it.records.hub.watch(0, lambda record: True)) as events:
            event = await anext(events)
        assert event.item.document["metadata"]["ownerReferences"][0]["name"] == "nightly"


# After a restart


async def test_a_time_that_was_missed_is_made_up_for_within_the_deadline() -> None:
    store, clock = MemoryStore(), Clock()
    async with served(store, clock) as it:
        await keep(it, startingDeadlineSeconds=60)
        await at(it, NINE + HOUR)
    clock.now = NINE + 5 * HOUR + 59
    async with served(store, clock) as it:
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR, NINE + 5 * HOUR)
    clock.now = NINE + 7 * HOUR + 61
    async with served(store, clock) as it:
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR, NINE + 5 * HOUR)


@pytest.mark.parametrize(("late", "made_up_for"), [(30, True), (90, False)])
async def test_what_a_suspension_kept_from_firing_is_made_up_for_likewise(late: int, made_up_for: bool) -> None:
    async with served() as it:
        await keep(it, startingDeadlineSeconds=60)
        await at(it, NINE + HOUR)
        await it.ok("PUT", f"{PATH}/nightly/suspend", {})
        await at(it, NINE + 2 * HOUR)
        assert names(it) == named(NINE + HOUR)
        it.clock.now += late
        await it.ok("PUT", f"{PATH}/nightly/resume", {})
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR, *([NINE + 2 * HOUR] if made_up_for else []))


async def test_without_a_deadline_what_was_missed_is_gone() -> None:
    store, clock = MemoryStore(), Clock()
    async with served(store, clock) as it:
        await keep(it)
        await at(it, NINE + HOUR)
    clock.now = NINE + 5 * HOUR + 1
    async with served(store, clock) as it:
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR)


async def test_one_that_ended_while_nobody_looked_is_counted() -> None:
    store, clock = MemoryStore(), Clock()
    async with served(store, clock) as it:
        await keep(it)
        await at(it, NINE + HOUR)
        document = await it.ok("GET", f"{PATH}/nightly")
        await finish(it)
    await store.put("CronWorkflow", "team", "nightly", document)  # as it was before the end was noted
    async with served(store, clock) as it:
        await it.firing.turn()
        found = await status(it)
        assert (found["active"], found["succeeded"]) == ([], 1)


class Dying(MemoryStore):
    """Refuses to keep CronWorkflows: as a server that is killed between making a workflow and noting so."""

    dead = False

    async def put(self, kind: str, namespace: str, name: str, document: Any) -> int:
        if self.dead and kind == "CronWorkflow":
            raise StoreError("the disk is full")
        return await super().put(kind, namespace, name, document)


async def test_for_one_time_no_second_one_is_made_after_a_death() -> None:
    store, clock = Dying(), Clock()
    async with served(store, clock) as it:
        await keep(it, startingDeadlineSeconds=600)
        await at(it, NINE + HOUR)
        await finish(it)
        store.dead = True
        with pytest.raises(StoreError):
            await at(it, NINE + 2 * HOUR)
        assert names(it) == named(NINE + HOUR, NINE + 2 * HOUR)
    store.dead = False
    clock.now += 30
    async with served(store, clock) as it:
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR, NINE + 2 * HOUR)
        found = await status(it)
        assert found["lastScheduledTime"] == timestamp(NINE + 2 * HOUR)
        assert [each["name"] for each in found["active"]] == named(NINE + 2 * HOUR)


async def test_what_the_store_did_not_take_is_noted_once_it_does() -> None:
    store = Dying()
    async with served(store) as it:
        await keep(it)
        store.dead = True
        with pytest.raises(StoreError):
            await at(it, NINE + HOUR)
        store.dead = False
        await it.firing.turn()
        assert names(it) == named(NINE + HOUR)
        assert (await status(it))["lastScheduledTime"] == timestamp(NINE + HOUR)


async def test_a_clock_that_is_set_back_fires_nothing_again() -> None:
    async with served() as it:
        await keep(it)
        await at(it, NINE + HOUR)
        await it.records.delete(it.records.find("team", *named(NINE + HOUR)))
        await at(it, NINE + 1)
        await at(it, NINE + HOUR)
        assert names(it) == []
