"""Who holds what and who waits is in the workflows' documents: another engine goes on from there."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from engine import Engine, Workflow
from engine.substitution.variables import parse_time
from tests.engine.graph.running import START, Recorder, outcomes, workflow
from tests.engine.graph.test_namespaces import config_map

MUTEX = "{mutex: {name: m}}"
SEMAPHORE = "{semaphore: {configMapKeyRef: {name: c, key: k}}}"
ONE = [config_map("1")]


def whole(lock: str, **spec: int) -> str:
    """A workflow that asks for a lock as a whole."""
    extra = "".join(f", {key}: {value}" for key, value in spec.items())
    return f"{{synchronization: {lock}, templates: [{{name: main, container: {{image: i}}}}]{extra}}}"


def part(lock: str, **spec: int) -> str:
    """A workflow with a step that does."""
    extra = "".join(f", {key}: {value}" for key, value in spec.items())
    locked = f"{{name: locked, synchronization: {lock}, container: {{image: i}}}}"
    return f"{{templates: [{{name: main, steps: [[{{name: x, template: locked}}]]}}, {locked}]{extra}}}"


LASTS = "{main: {duration: 1m}, locked: {duration: 1m}}"


def engine(**options: Any) -> Engine:
    return Engine(executor=Recorder(outcomes(LASTS)), **options)


def again(work: Workflow) -> Workflow:
    return Workflow(orjson.loads(work.encode()))


def created(year: int) -> str:
    return f"{year}-01-01T00:00:00Z"


async def one_pass(*works: Workflow) -> None:
    async with engine(config_maps=ONE) as first:
        for work in works:
            await first.reconcile(work)


async def ends(*works: Workflow) -> list[str]:
    """The names of the workflows in the order in which they end, run by an engine that has never heard of them."""
    async with engine(config_maps=ONE) as second:
        await second.run(works)
    assert {work.phase for work in works} == {"Succeeded"}
    return [work.name for work in sorted(works, key=lambda work: str(work.document["status"]["finishedAt"]))]


@pytest.mark.parametrize("lock", [MUTEX, SEMAPHORE], ids=["mutex", "semaphore"])
@pytest.mark.parametrize("made", [whole, part], ids=["workflow", "node"])
class TestAfterARestart:
    def test_the_holder_holds_it_whoever_comes_first(self, made: Any, lock: str) -> None:
        async def order() -> list[str]:
            works = [workflow(made(lock), name) for name in ("holds", "waits")]
            await one_pass(*works)
            return await ends(*map(again, reversed(works)))

        assert asyncio.run(order()) == ["holds", "waits"]

    def test_those_that_wait_do_so_by_priority_and_age(self, made: Any, lock: str) -> None:
        async def order() -> list[str]:
            works = [
                workflow(made(lock), "holds"),
                workflow(made(lock), "young", creationTimestamp=created(2022)),
                workflow(made(lock), "old", creationTimestamp=created(2021)),
                workflow(made(lock, priority=1), "urgent", creationTimestamp=created(2023)),
            ]
            await one_pass(*works)
            return await ends(*map(again, works))

        assert asyncio.run(order()) == ["holds", "urgent", "old", "young"]

    def test_who_waited_comes_before_who_is_new(self, made: Any, lock: str) -> None:
        """The holder is gone: the lock is free, and the new one's pass is the first."""

        async def order() -> list[str]:
            works = [workflow(made(lock), name) for name in ("holds", "waited")]
            await one_pass(*works)
            return await ends(workflow(made(lock), "new"), again(works[1]))

        assert asyncio.run(order()) == ["waited", "new"]


def test_the_status_says_it_as_argo_does() -> None:
    async def statuses() -> list[dict[str, Any]]:
        works = [workflow(whole(lock), name) for lock in (MUTEX, SEMAPHORE) for name in ("a", "b")]
        await one_pass(*works[:2])
        await one_pass(*works[2:])
        return [work.document["status"]["synchronization"] for work in works]

    semaphore = "default/ConfigMap/c/k"
    assert asyncio.run(statuses()) == [
        {"mutex": {"holding": [{"holder": "default/a", "mutex": "default/Mutex/m"}]}},
        {"mutex": {"waiting": [{"mutex": "default/Mutex/m", "holder": "default/a"}]}},
        {"semaphore": {"holding": [{"semaphore": semaphore, "holders": ["default/a"]}]}},
        {"semaphore": {"waiting": [{"semaphore": semaphore, "holders": ["default/a"]}]}},
    ]


def test_it_is_gone_once_nobody_holds_or_waits() -> None:
    async def left() -> list[bool]:
        works = [workflow(part(MUTEX), name) for name in "ab"]
        async with engine() as first:
            await first.run(works)
            assert not len(first._surroundings.locks)
        return ["synchronization" in work.document["status"] for work in works]

    assert asyncio.run(left()) == [False, False]


@pytest.mark.parametrize("made", [whole, part], ids=["workflow", "node"])
def test_holders_as_older_argos_wrote_them(made: Any) -> None:
    async def order() -> list[str]:
        works = [workflow(made(MUTEX), name) for name in ("holds", "waits")]
        await one_pass(*works)
        (holding,) = works[0].document["status"]["synchronization"]["mutex"]["holding"]
        holding["holder"] = holding["holder"].rpartition("/")[2]
        return await ends(*map(again, reversed(works)))

    assert asyncio.run(order()) == ["holds", "waits"]


@pytest.mark.parametrize(("size", "ended"), [("2", [60, 65, 120]), ("3", [60, 65, 65]), ("0", [60, 120, 180])])
def test_a_semaphore_that_grows_lets_in_who_waits(size: str, ended: list[int]) -> None:
    """At once, and not only the next workflow: its size is the lock's and not a workflow's."""

    async def ran() -> list[int]:
        works, executor = [workflow(part(SEMAPHORE), name) for name in "abc"], Recorder(outcomes(LASTS))
        async with Engine(executor=executor, config_maps=ONE) as stage:
            for work in works:
                await stage.reconcile(work)
            executor.clock.jump(START + 5)
            stage.templates.put(config_map(size))
            await stage.run(works)
        return [int(parse_time(work.document["status"]["finishedAt"]).timestamp() - START) for work in works]

    assert asyncio.run(ran()) == ended
