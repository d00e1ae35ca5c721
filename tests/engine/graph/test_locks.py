"""Mutexes and semaphores: of nodes and of workflows, and who comes first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import Engine, Workflow
from engine.graph.locks import Locks, Request
from engine.substitution.variables import parse_time
from tests.engine.graph.running import START, Ran, Recorder, outcomes, run, workflow

SIZES = {"sizes": {"data": {"two": "2", "none": "0", "bad": "many"}}}


def seconds(ran: Ran, *names: str) -> list[int]:
    """When leaves began to run, in seconds after the workflow did."""
    return [ran.executor.begun[name] for name in names]


def locked(synchronization: str, fields: str = "") -> str:
    return f"""
        templates:
        - {{name: main, steps: [[{{name: s, template: t, withSequence: {{count: 4}}}}]]}}
        - {{name: t, synchronization: {{{synchronization}}}, container: {{image: i}}{fields}}}
        """


NAMES = tuple(f"s({n}:{n})" for n in range(4))
ENDS = "{t: {duration: 10s}}"


@pytest.mark.parametrize(
    ("synchronization", "starts"),
    [
        ("mutex: {name: m}", [0, 10, 20, 30]),
        ("mutexes: [{name: m}, {name: n}]", [0, 10, 20, 30]),
        ("semaphore: {configMapKeyRef: {name: sizes, key: two}}", [0, 0, 10, 10]),
        ("semaphores: [{configMapKeyRef: {name: sizes, key: two}}], mutexes: [{name: m}]", [0, 10, 20, 30]),
        ("mutex: {name: '{{workflow.name}}-{{pod.name}}'}", [0, 0, 0, 0]),
        ("mutex: {name: m, database: true}", [0, 10, 20, 30]),
        ("semaphores: [{database: {key: k}}]", [0, 10, 20, 30]),
    ],
)
def test_so_many_run_at_a_time_in_order(synchronization: str, starts: list[int]) -> None:
    ran = run(locked(synchronization), ENDS, config_maps=SIZES)
    assert seconds(ran, *NAMES) == starts
    assert ran.phase == "Succeeded"
    assert "synchronization" not in ran.status


def test_a_node_that_waits_says_for_what() -> None:
    ran = run(locked("mutex: {name: m}"), ENDS, timeout=5)
    waiting = ran["s(1:1)"]
    assert (waiting.phase, waiting.message) == ("Pending", "Waiting for default/Mutex/m lock. Lock status: 0/1")
    assert waiting.synchronization_status == {"waiting": "default/Mutex/m"}
    assert ran.status["synchronization"] == {
        "mutex": {"holding": [{"holder": f"default/wf/{ran['s(0:0)'].id}", "mutex": "default/Mutex/m"}]}
    }


@pytest.mark.parametrize("called", ["container: {image: i}", "steps: [[{name: x, template: leaf}]]"])
def test_it_says_so_no_longer_once_it_has_its_lock(called: str) -> None:
    spec = locked("mutex: {name: m}").replace("container: {image: i}", called)
    ends = "{t: {duration: 10s}, leaf: {duration: 10s}}"
    saved = run(spec, ends, timeout=5)
    assert {saved[name].message for name in NAMES[1:]} == {"Waiting for default/Mutex/m lock. Lock status: 0/1"}
    for ran in (run(Workflow(saved.workflow.to_dict()), ends), run(spec, ends)):
        assert ran.phase == "Succeeded"
        assert {(ran[name].message, ran[name].synchronization_status) for name in NAMES} == {("", None)}


def test_a_lock_is_held_for_all_attempts_and_all_steps() -> None:
    ran = run(
        locked("mutex: {name: m}", ", retryStrategy: {limit: 1}"),
        "{t: [{phase: Failed, duration: 10s}, {duration: 10s}]}",
    )
    assert seconds(ran, *(f"s({n}:{n})(0)" for n in range(4))) == [0, 20, 40, 60]


def test_a_failed_node_gives_it_back() -> None:
    ran = run(locked("mutex: {name: m}"), "{t: {duration: 10s, phase: Failed}}")
    assert seconds(ran, *NAMES) == [0, 10, 20, 30]


def test_the_time_that_a_node_waits_is_its_own() -> None:
    ran = run(locked("mutex: {name: m}"), ENDS)
    assert {ran[name].started_at for name in NAMES} == {ran.status["startedAt"]}


@pytest.mark.parametrize(("limit", "phases"), [("25s", "SSFF"), ("15s", "SFFF")])
def test_a_node_waits_no_longer_than_its_timeout_of_which_little_is_left_when_it_runs(limit: str, phases: str) -> None:
    ran = run(
        locked("mutex: {name: m}", f", timeout: {limit}").replace("steps: [[", "dag: {tasks: [").replace("]]", "]}"),
        "{t: {duration: 10s}}",
    )
    assert "".join(ran[name].phase[0] for name in NAMES) == phases
    assert ran["s(3:3)"].message == "timeout"
    assert "s(3:3)" not in ran.executor.started


def test_the_deadline_of_a_pod_begins_when_the_node_has_its_lock() -> None:
    assert run(locked("mutex: {name: m}", ", activeDeadlineSeconds: 15"), ENDS).phase == "Succeeded"


def test_a_step_that_waited_too_long_ends_its_group() -> None:
    ran = run(locked("mutex: {name: m}", ", timeout: 15s"), "{t: {duration: 10s}}")
    assert (ran["[0]"].phase, ran["[0]"].message) == ("Failed", "timeout")
    assert (ran["wf"].phase, ran.message) == ("Failed", "timeout")


def test_a_stopped_node_that_waits_gives_way() -> None:
    ran = run("        activeDeadlineSeconds: 15\n" + locked("mutex: {name: m}").lstrip("\n"), ENDS)
    assert [ran[name].phase for name in NAMES] == ["Succeeded", "Failed", "Failed", "Failed"]
    assert (ran.phase, ran.waiting_for) == ("Failed", "")


def test_locks_of_a_database_are_others_and_in_the_status_all_the_same() -> None:
    ran = run(
        locked("mutexes: [{name: m}, {name: m, database: true}], semaphore: {database: {key: k}}"), ENDS, timeout=5
    )
    holder = f"default/wf/{ran['s(0:0)'].id}"
    mutexes = [{"holder": holder, "mutex": f"default/{kind}/m"} for kind in ("Mutex", "Database")]
    assert ran.status["synchronization"] == {
        "mutex": {"holding": mutexes},
        "semaphore": {"holding": [{"semaphore": "default/Database/k", "holders": [holder]}]},
    }


def test_locks_kept_in_a_database_are_kept_in_memory() -> None:
    for lock in ("mutex: {name: m, database: true}", "semaphore: {database: {key: m}}"):
        assert seconds(run(locked(lock), ENDS), *NAMES) == [0, 10, 20, 30]


class TestWhatMakesNoSense:
    @pytest.mark.parametrize(
        ("semaphore", "message"),
        [
            ("{database: {key: k}, configMapKeyRef: {name: sizes, key: two}}", "invalid semaphore with both"),
            ("{namespace: x}", "cannot get LockName for a Semaphore without a ConfigMapRef or Database"),
        ],
    )
    def test_a_semaphore_in_two_places_or_in_none(self, semaphore: str, message: str) -> None:
        ran = run(locked(f"semaphore: {semaphore}"), config_maps=SIZES)
        assert message in ran.message

    def test_a_workflow_whose_lock_cannot_be_has_failed(self) -> None:
        lock = "synchronization: {semaphore: {configMapKeyRef: {name: sizes, key: bad}}}\n"
        ran = run(lock + "templates: [{name: main, suspend: {}}]", config_maps=SIZES)
        assert ran.phase == "Failed"
        assert ran.message.startswith("Failed to acquire the synchronization lock. failed to initialize semaphore")

    def test_a_lock_twice(self) -> None:
        ran = run(locked("mutex: {name: m}, mutexes: [{name: m}]"))
        assert "lock default/Mutex/m is asked for twice" in ran.message

    @pytest.mark.parametrize(
        ("semaphore", "reason"),
        [
            ("{}", "cannot get LockName for a Semaphore without a ConfigMapRef or Database"),
            (
                "{configMapKeyRef: {name: sizes, key: two}, database: {key: k}}",
                "invalid semaphore with both ConfigMapKeyRef and Database",
            ),
        ],
    )
    def test_a_semaphore_whose_size_is_nowhere_or_in_two_places(
        self, semaphore: str, reason: str
    ) -> None:  # workflow/sync
        assert reason in run(locked(f"semaphores: [{semaphore}]")).message
        spec = f"synchronization: {{semaphore: {semaphore}}}\ntemplates: [{{name: main, container: {{image: i}}}}]"
        ran = run(spec)
        assert (ran.phase, ran.message) == ("Failed", f"Failed to acquire the synchronization lock. {reason}")

    @pytest.mark.parametrize(
        ("reference", "found"),
        [
            ("{name: nowhere, key: two}", "ConfigMap 'nowhere' does not exist among the given documents"),
            ("{name: sizes, key: three}", "ConfigMap 'sizes' does not have the key 'three'"),
            ("{name: sizes, key: bad}", "expected a positive integer, got 'many'"),
            ("{name: sizes, key: none}", "expected a positive integer, got '0'"),
        ],
    )
    def test_a_semaphore_without_a_size(self, reference: str, found: str) -> None:
        place = "/".join(reference.strip("{}").replace("name: ", "").replace(" key: ", "").split(","))
        reason = f"failed to initialize semaphore default/ConfigMap/{place} with limit: {found}"
        ran = run(locked(f"semaphore: {{configMapKeyRef: {reference}}}"), config_maps=SIZES)
        assert (ran.phase, ran["s(0:0)"].phase, ran["s(0:0)"].message) == ("Failed", "Error", reason)
        lock = f"synchronization: {{semaphores: [{{configMapKeyRef: {reference}}}]}}\n"
        ran = run(lock + "templates: [{name: main, suspend: {}}]", config_maps=SIZES)
        assert (ran.phase, ran.message) == ("Failed", f"Failed to acquire the synchronization lock. {reason}")


def several(*specs: tuple[str, str, dict[str, Any]]) -> list[tuple[str, int]]:
    """Run workflows in one engine; their names by the time at which they ended."""
    works = [workflow(spec, name, **metadata) for name, spec, metadata in specs]
    executor = Recorder(outcomes("{leaf: {duration: 10s}}"))

    async def all_of_them() -> None:
        async with Engine(executor=executor, config_maps=SIZES) as engine:
            await engine.run(works, timeout=3600)

    asyncio.run(all_of_them())
    ends = [(work.name, work.document["status"].get("finishedAt")) for work in works]
    return [(name, int(parse_time(end).timestamp() - START)) for name, end in ends if end]


class TestOfWorkflows:
    ONE = "synchronization: {mutex: {name: m}}\nEXTRA\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]"

    def test_one_at_a_time(self) -> None:
        ends = several(*((name, self.ONE.replace("EXTRA", ""), {}) for name in "abc"))
        assert ends == [("a", 10), ("b", 20), ("c", 30)]

    def test_higher_priority_first_then_the_older(self) -> None:
        ends = several(
            ("first", self.ONE.replace("EXTRA", ""), {}),
            ("young", self.ONE.replace("EXTRA", ""), {"creationTimestamp": "2023-11-14T20:00:00Z"}),
            ("old", self.ONE.replace("EXTRA", ""), {"creationTimestamp": "2023-11-14T10:00:00Z"}),
            ("urgent", self.ONE.replace("EXTRA", "priority: 5"), {}),
        )
        assert sorted(ends, key=lambda end: end[1]) == [("first", 10), ("urgent", 20), ("old", 30), ("young", 40)]

    def test_the_time_that_one_waits_is_none_of_its_deadline(self) -> None:
        spec = self.ONE.replace("EXTRA", "activeDeadlineSeconds: 15")
        assert several(("a", spec, {}), ("b", spec, {})) == [("a", 10), ("b", 20)]
        spec = self.ONE.replace("EXTRA", "activeDeadlineSeconds: 5")
        assert several(("a", spec, {}), ("b", spec, {})) == [("a", 5), ("b", 10)]

    def test_a_semaphore_lets_in_as_many_as_it_may(self) -> None:
        spec = self.ONE.replace("EXTRA", "").replace(
            "mutex: {name: m}", "semaphore: {configMapKeyRef: {name: sizes, key: two}}"
        )
        assert [end for _, end in several(*((name, spec, {}) for name in "abcde"))] == [10, 10, 20, 20, 30]

    def test_one_that_waits_is_pending(self) -> None:
        first = self.ONE.replace("EXTRA", "").replace("template: leaf", "template: wait")
        works = [workflow(first, "a"), workflow(first, "b")]

        async def both() -> str:
            async with Engine(executor=Recorder(outcomes(""))) as engine:
                await engine.run(works)
                return engine.waiting_for(works[1])

        waiting_for = asyncio.run(both())
        assert works[1].phase == "Pending"
        assert works[1].message == waiting_for == "Waiting for default/Mutex/m lock. Lock status: 0/1"
        assert "startedAt" not in works[1].document["status"]
        assert works[1].nodes == {}

    def test_nodes_of_different_workflows_share_locks(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: a, template: t}]]}, {name: t, "
            "synchronization: {mutex: {name: m}}, steps: [[{name: x, template: leaf}]]}]"
        )
        assert several(("a", spec, {}), ("b", spec, {})) == [("a", 10), ("b", 20)]
        assert several(("a", spec, {"namespace": "x"}), ("b", spec, {"namespace": "y"})) == [("a", 10), ("b", 10)]


class TestWhatIsForgotten:
    def test_locks_that_nobody_holds_or_waits_for(self) -> None:
        locks = Locks()
        for number in range(100):
            request = [Request(f"default/Mutex/{number}", 1, True)]
            assert locks.acquire(request, "one", "one")
            assert not locks.acquire(request, "two", "two")
            locks.release([request[0].name], "one")
            assert len(locks) == 1
            locks.forget([request[0].name], "two")
            assert len(locks) == 0

    def test_whoever_waited_and_waits_no_longer(self) -> None:
        locks, request = Locks(), [Request("m", 1, True)]
        locks.acquire(request, "holds", "holds")
        locks.acquire(request, "first", "first")
        for number in range(1000):
            locks.acquire(request, str(number), "w")
            locks.forget(["m"], str(number))
        locks.acquire(request, "last", "last")
        locks.release(["m"], "holds")
        assert locks.take_woken() == {"first"}
        assert [locks.acquire(request, name, name) for name in ("last", "first")] == [False, True]

    def test_finished_workflows_leave_no_locks(self) -> None:
        async def left_over() -> int:
            async with Engine(executor=Recorder(outcomes(ENDS))) as engine:
                work = [workflow(locked("mutex: {name: '{{workflow.name}}'}"), f"w{n}") for n in range(3)]
                own = [workflow(TestOfWorkflows.ONE.replace("EXTRA", ""), name) for name in "ab"]
                await engine.run([*work, *own], timeout=3600)
                assert {each.phase for each in (*work, *own)} == {"Succeeded"}
                return len(engine._surroundings.locks)

        assert asyncio.run(left_over()) == 0
