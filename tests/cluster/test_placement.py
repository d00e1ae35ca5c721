"""Which shard has which workflow: spread evenly, moved only when a shard is gone, and together where they contend."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.cluster.placement import ANYWHERE, NONE, Groups, Placement, groups_of, rendezvous
from engine.model.workflow import Workflow
from engine.templates.catalog import Templates

LEAF = {"name": "leaf", "container": {"image": "busybox"}}
MUTEX = {"mutexes": [{"name": "m"}]}


def workflow(*templates: dict[str, Any], **spec: Any) -> Workflow:
    own = {"entrypoint": "main", "templates": list(templates)} if templates else {}
    return Workflow({"metadata": {"name": "w", "namespace": "blue"}, "spec": own | spec})


def calling(**call: Any) -> dict[str, Any]:
    return {"name": "main", "steps": [[{"name": "a", **call}]]}


def template(name: str, *templates: dict[str, Any], kind: str = "WorkflowTemplate", **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": {"templates": list(templates), **spec}}


def library(*templates: dict[str, Any]) -> Templates:
    found = Templates()
    for each in templates:
        found.put(each, namespace="blue")
    return found


def of(found: Workflow, *templates: dict[str, Any]) -> Groups:
    return groups_of(found, library(*templates))


class TestGroups:
    def test_who_contends_for_nothing_has_none(self) -> None:
        assert of(workflow(calling(template="leaf"), LEAF)) == NONE

    @pytest.mark.parametrize(
        "synchronization",
        [
            {"mutex": {"name": "m"}},
            {"mutexes": [{"name": "m"}]},
            {"semaphore": {"configMapKeyRef": {"name": "sizes", "key": "k"}}},
            {"semaphores": [{"configMapKeyRef": {"name": "sizes", "key": "k"}}]},
            {"mutexes": [{"name": "m", "database": True}]},
            {"semaphores": [{"database": {"key": "k"}}]},
        ],
    )
    def test_locks_are_those_of_the_namespace(self, synchronization: dict[str, Any]) -> None:
        assert of(workflow(LEAF, synchronization=synchronization)) == {"blue"}
        assert of(workflow(calling(template="leaf"), {**LEAF, "synchronization": synchronization})) == {"blue"}

    def test_a_lock_may_name_another_namespace(self) -> None:
        foreign = {"mutex": {"name": "m", "namespace": "red"}, "mutexes": [{"name": "n"}]}
        assert of(workflow(LEAF, synchronization=foreign)) == {"red", "blue"}

    def test_a_lock_of_a_namespace_that_is_computed_may_be_anywhere(self) -> None:
        locked = {**LEAF, "synchronization": {"mutexes": [{"name": "m", "namespace": "{{inputs.parameters.where}}"}]}}
        assert of(workflow(locked)) == {ANYWHERE}

    def test_memos_are_those_of_the_namespace(self) -> None:
        memoized = {**LEAF, "memoize": {"key": "{{inputs.parameters.x}}", "cache": {"configMap": {"name": "c"}}}}
        assert of(workflow(memoized)) == {"blue"}

    def test_defaults_and_inline_templates_count(self) -> None:
        assert of(workflow(LEAF, templateDefaults={"synchronization": MUTEX})) == {"blue"}
        inner = {"steps": [[{"name": "b", "inline": {"container": {}, "synchronization": MUTEX}}]]}
        assert of(workflow(calling(inline=inner))) == {"blue"}

    def test_references_are_followed_at_any_depth(self) -> None:
        far = template("far", {**LEAF, "synchronization": MUTEX}, kind="ClusterWorkflowTemplate")
        reference = {"name": "far", "template": "leaf", "clusterScope": True}
        near = template("near", {**calling(templateRef=reference), "name": "go"})
        caller = workflow(calling(templateRef={"name": "near", "template": "go"}))
        assert of(caller, far, near) == {"blue"}
        assert of(caller, near) == NONE

    def test_a_reference_that_leads_to_no_lock_is_none(self) -> None:
        both = template("both", LEAF, {**LEAF, "name": "locked", "synchronization": MUTEX})
        assert of(workflow(calling(templateRef={"name": "both", "template": "leaf"})), both) == NONE
        assert of(workflow(calling(templateRef={"name": "both", "template": "{{item}}"})), both) == {"blue"}

    def test_a_reference_that_is_computed_may_lead_to_any_template(self) -> None:
        locked = template("locked", {**LEAF, "synchronization": MUTEX})
        caller = workflow(calling(templateRef={"name": "{{workflow.parameters.which}}", "template": "leaf"}))
        assert of(caller, locked) == {"blue"}
        assert of(caller, template("plain", LEAF)) == NONE

    def test_hooks_and_exit_handlers_are_called(self) -> None:
        locked = template("locked", {**LEAF, "synchronization": MUTEX})
        hook = {"exit": {"templateRef": {"name": "locked", "template": "leaf"}}}
        assert of(workflow(LEAF, hooks=hook), locked) == {"blue"}
        assert of(workflow(calling(template="leaf", hooks=hook), LEAF), locked) == {"blue"}

    def test_a_workflow_may_be_all_of_a_template(self) -> None:
        caller = workflow(workflowTemplateRef={"name": "t"})
        assert of(caller, template("t", LEAF, synchronization=MUTEX)) == {"blue"}
        assert of(caller, template("t", {**LEAF, "synchronization": MUTEX})) == {"blue"}
        assert of(caller, template("t", LEAF)) == NONE

    def test_one_that_is_not_there_is_with_those_of_its_namespace(self) -> None:
        assert of(workflow(workflowTemplateRef={"name": "t"})) == {"blue"}

    def test_a_workflow_that_has_begun_has_the_templates_that_it_stored(self) -> None:
        caller = workflow(calling(templateRef={"name": "t", "template": "leaf"}))
        stored = {"namespaced/t/leaf": {**LEAF, "synchronization": MUTEX}}
        caller.document["status"] = {"phase": "Running", "storedTemplates": stored}
        assert of(caller, template("t", LEAF)) == {"blue"}


class TestRendezvous:
    def test_shards_are_equally_loaded(self) -> None:
        loads = Counter(rendezvous(f"uid-{number}", range(8)) for number in range(8000))
        assert all(850 < loads[number] < 1150 for number in range(8)), loads

    def test_where_one_is_gone_only_its_keys_move_and_to_all_others_alike(self) -> None:
        keys = [f"uid-{number}" for number in range(8000)]
        before = {key: rendezvous(key, range(8)) for key in keys}
        after = {key: rendezvous(key, [0, 1, 2, 4, 5, 6, 7]) for key in keys}
        assert all(after[key] == number for key, number in before.items() if number != 3)
        moved = Counter(after[key] for key, number in before.items() if number == 3)
        assert all(90 < moved[number] < 200 for number in (0, 1, 2, 4, 5, 6, 7)), moved


class TestSettling:
    def test_nobody_is_placed_while_there_is_no_shard(self) -> None:
        placement = Placement()
        placement.add("a", NONE)
        assert placement.settle() == {}
        placement.joined(4)
        assert placement.settle() == {"a": 4}
        assert placement.shard_of("a") == 4

    def test_a_new_incarnation_is_given_new_workflows_only(self) -> None:
        placement = Placement()
        placement.joined(0)
        placement.joined(1)
        for number in range(40):
            placement.add(f"old-{number}", NONE)
        before = placement.settle()
        placement.gone(1)
        moved = placement.settle()
        assert moved == {uid: 0 for uid, number in before.items() if number == 1}
        placement.joined(1)
        assert placement.settle() == {}
        for number in range(40):
            placement.add(f"new-{number}", NONE)
        assert {*placement.settle().values()} == {0, 1}

    def test_a_group_stays_where_its_live_members_are(self) -> None:
        placement, group = Placement(), frozenset({"blue"})
        for number in range(4):
            placement.joined(number)
        placement.add("first", group)
        home = placement.settle()["first"]
        placement.gone(home)
        other = placement.settle()["first"]
        placement.joined(home)
        placement.add("second", group)
        assert placement.settle() == {"second": other}
        placement.remove("first")
        placement.remove("second")
        placement.add("third", group)
        assert placement.settle() == {"third": home}

    def test_who_is_of_two_groups_waits_until_they_may_be_together(self) -> None:
        placement = Placement()
        for number in range(8):
            placement.joined(number)
        groups = {rendezvous(name, range(8)): name for name in map(str, range(50))}
        (one, a), (other, b), *_ = groups.items()
        placement.add("a", frozenset({a}))
        placement.add("b", frozenset({b}))
        assert placement.settle() == {"a": one, "b": other}
        placement.add("both", frozenset({a, b}))
        placement.add("behind", frozenset({a}))
        placement.add("beside", NONE)
        assert placement.settle().keys() == {"beside"}
        placement.remove("a")
        assert placement.settle() == {"both": other, "behind": other}

    def test_what_was_live_together_is_together_again(self) -> None:
        placement = Placement()
        placement.joined(0)
        for number in range(20):
            placement.add(f"one-{number}", frozenset({str(number)}))
        for number in range(19):
            placement.add(f"two-{number}", frozenset({str(number), str(number + 1)}))
        settled = placement.settle()
        placement.gone(0)
        for number in range(1, 9):
            placement.joined(number)
        again = placement.settle()
        assert again.keys() == settled.keys()
        assert len({*again.values()}) == 1

    def test_so_is_what_a_store_has_that_is_opened_again(self) -> None:
        placement = Placement()
        for number in range(8):
            placement.joined(number)
        for number in range(20):
            placement.add(f"one-{number}", frozenset({str(number)}), live=True)
        placement.add("all", frozenset({ANYWHERE}), live=True)
        assert len({*placement.settle().values()}) == 1


GROUPS = st.frozensets(st.sampled_from(["a", "b", "c", "d", ANYWHERE]), max_size=2)


class Placing(RuleBasedStateMachine):
    """Shards come and go, and so do workflows, of whatever groups."""

    def __init__(self) -> None:
        super().__init__()
        self.placement = Placement()
        self.alive: set[int] = set()
        self.groups: dict[str, Groups] = {}
        self.where: dict[str, int] = {}
        self.number = 0

    @rule(number=st.integers(0, 3))
    def joins(self, number: int) -> None:
        self.alive.add(number)
        self.placement.joined(number)
        self.settles(set())

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.remove(number)
        moving = {uid for uid, where in self.where.items() if where == number}
        self.where = {uid: where for uid, where in self.where.items() if where != number}
        self.placement.gone(number)
        self.settles(moving)

    @rule(groups=GROUPS)
    def is_submitted(self, groups: Groups) -> None:
        self.number += 1
        self.groups[str(self.number)] = groups
        self.placement.add(str(self.number), groups)
        self.settles(set())

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def is_over(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.groups)))
        del self.groups[uid]
        self.where.pop(uid, None)
        self.placement.remove(uid)
        self.settles(set())

    def settles(self, moving: set[str]) -> None:
        """Nobody moves who was somewhere, and who was live goes on at once where there is any shard."""
        settled = self.placement.settle()
        assert not settled.keys() & self.where.keys()
        self.where |= settled
        if self.alive:
            assert moving <= settled.keys()

    @invariant()
    def everybody_is_somewhere_alive_or_waits(self) -> None:
        for uid in self.groups:
            assert self.placement.shard_of(uid) == self.where.get(uid)
        assert {*self.where.values()} <= self.alive

    @invariant()
    def who_contends_is_together(self) -> None:
        grouped = [(groups, self.where[uid]) for uid, groups in self.groups.items() if groups and uid in self.where]
        for groups, where in grouped:
            for others, there in grouped:
                assert where == there or not (groups & others or ANYWHERE in groups | others)

    @invariant()
    def nobody_waits_without_need(self) -> None:
        waiting = [groups for uid, groups in self.groups.items() if uid not in self.where]
        if self.alive and waiting:
            first = waiting[0]
            live = [(groups, self.where[uid]) for uid, groups in self.groups.items() if uid in self.where]
            met = {where for groups, where in live if groups and (groups & first or ANYWHERE in groups | first)}
            assert len(met) > 1
            assert all(waiting)

    def teardown(self) -> None:
        self.joins(0)
        while self.where:  # whoever waits, does not for ever
            self.is_over_first()
        assert not self.groups

    def is_over_first(self) -> None:
        uid = next(iter(self.where))
        del self.groups[uid], self.where[uid]
        self.placement.remove(uid)
        self.settles(set())


Placing.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestPlacing = Placing.TestCase
