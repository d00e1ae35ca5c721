"""What the driver knows of leaves: whether to start them, whom to tell what they say, and until when."""

from __future__ import annotations

from engine.cluster.custody import NOBODY, Custody
from engine.cluster.mail import Committed, seal
from engine.executors.executor import Result
from engine.storage.store import Head

DONE, FAILED = Result("Succeeded"), Result("Failed")
HALF = Result("Running", progress="1/2")


class Held:
    """A custody of the workflow w, that the shard of epoch 1 has."""

    def __init__(self, *found: str) -> None:
        self.custody = Custody()
        self.leaves = self.custody.take_in("w", found)
        self.custody.give("w", 1)

    def start(self, epoch: int, node_id: str) -> str:
        """What is to become of a leaf that a shard wants to be started."""
        found = dict(self.custody.start("w", epoch, [node_id]))
        return {True: "adopt", False: "start", None: "nothing"}[found.get(node_id)]

    def report(self, node_id: str, result: Result) -> int:
        """The epoch of the shard that is told, `NOBODY` where none is."""
        told = self.leaves.first(node_id, result) or self.leaves.note([node_id], result)
        return self.leaves.epoch if told else NOBODY


def change(put: str = "", gone: str = "", *, finished: bool = False, whole: bool = False) -> Committed:
    """Of leaves whose ids are letters."""
    leaves = seal({"leaf": dict.fromkeys(put, "given")})
    return Committed(Head("w", "default", "w", finished=finished), leaves, {"leaf": [*gone]}, whole)


def test_a_leaf_is_started_once() -> None:
    held = Held()
    assert held.start(1, "a") == "start"
    assert held.start(1, "a") == "nothing"
    held.report("a", DONE)
    assert held.start(1, "a") == "nothing"


def test_a_leaf_that_is_gone_may_be_started_anew() -> None:
    held = Held()
    held.start(1, "a")
    held.report("a", DONE)
    held.custody.committed(change(gone="a"))
    assert held.start(1, "a") == "start"


def test_the_next_shard_is_told_what_is_not_taken_up_and_starts_nothing_again() -> None:
    held = Held()
    for node_id in ("a", "b", "c"):
        held.start(1, node_id)
        held.report(node_id, DONE)
    held.custody.committed(change(gone="a"))
    assert held.custody.gone(1) == ["w"]
    assert held.custody.holder("w") == NOBODY
    assert held.custody.give("w", 2) == [("b", DONE), ("c", DONE)]
    assert held.start(2, "b") == "nothing"


def test_what_a_shard_says_that_is_gone_does_not_count() -> None:
    held = Held()
    held.custody.gone(1)
    held.custody.give("w", 2)
    assert not held.custody.has("w", 1)
    assert held.custody.has("w", 2)
    assert held.start(1, "a") == "nothing"
    assert not held.custody.stop("w", 1, "a")
    assert held.start(2, "a") == "start"


def test_what_is_written_counts_whoever_has_the_workflow_by_then() -> None:
    held = Held()
    held.start(1, "a")
    held.report("a", DONE)
    held.custody.gone(1)
    held.custody.committed(change(gone="a"))
    assert held.custody.give("w", 2) == []


def test_a_leaf_that_an_earlier_process_was_to_start_is_to_be_adopted_once() -> None:
    held = Held("a")
    assert held.start(1, "a") == "adopt"
    assert held.start(1, "a") == "nothing"
    assert held.start(1, "b") == "start"


def test_a_leaf_of_an_earlier_process_may_report_before_its_shard_asks_for_it() -> None:
    held = Held("a")
    assert held.report("a", DONE) == 1
    assert held.start(1, "a") == "nothing"


def test_progress_is_told_as_it_changes_and_the_first_end_counts() -> None:
    held = Held()
    held.start(1, "a")
    assert held.report("a", HALF) == 1
    assert held.report("a", HALF) == NOBODY
    assert held.report("a", DONE) == 1
    assert held.report("a", DONE) == NOBODY
    assert held.report("a", FAILED) == NOBODY
    assert held.custody.give("w", 1) == [("a", DONE)]


def test_what_is_reported_while_nobody_has_the_workflow_is_told_later() -> None:
    held = Held()
    held.start(1, "a")
    held.custody.gone(1)
    assert held.report("a", DONE) == NOBODY
    assert held.custody.give("w", 2) == [("a", DONE)]


def test_what_is_said_of_one_that_is_not_started_is_told_and_kept() -> None:
    held = Held()
    assert held.report("suspended", DONE) == 1
    assert held.custody.give("w", 2) == [("suspended", DONE)]


def test_of_a_leaf_that_was_stopped_nothing_is_heard_and_it_is_stopped_once() -> None:
    held = Held()
    held.start(1, "a")
    assert held.custody.stop("w", 1, "a")
    assert not held.custody.stop("w", 1, "a")
    assert held.report("a", DONE) == NOBODY
    assert held.custody.give("w", 2) == []


def test_a_leaf_that_ended_by_itself_meanwhile_is_not_stopped() -> None:
    held = Held()
    held.start(1, "a")
    held.report("a", HALF)
    held.report("a", DONE)
    assert not held.custody.stop("w", 1, "a")


def test_a_retry_stops_leaves_that_ended_long_ago_and_starts_them_again() -> None:
    held = Held()
    assert held.custody.stop("w", 1, "a")
    assert held.start(1, "a") == "start"
    assert held.report("a", DONE) == 1


def test_a_workflow_that_is_over_is_not_known() -> None:
    held = Held()
    held.start(1, "a")
    held.custody.committed(change(finished=True))
    assert "w" not in held.custody
    assert len(held.custody) == 0
    assert held.custody.holder("w") == NOBODY
    assert held.custody.gone(1) == []
    held.custody.committed(change(finished=True))
    assert held.start(1, "a") == "nothing"


def test_a_change_that_is_the_whole_of_it_says_which_leaves_there_are() -> None:
    held = Held()
    for node_id in ("a", "b"):
        held.start(1, node_id)
    held.custody.committed(change(whole=True, put="b"))
    assert held.start(1, "b") == "nothing"
    assert held.start(1, "a") == "start"
