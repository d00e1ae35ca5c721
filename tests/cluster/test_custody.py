"""What the driver knows of leaves: whether to start them, whom to tell what they say, and until when."""

from __future__ import annotations

import msgspec
import pytest

from engine.cluster.custody import NOBODY, Custody, Start
from engine.cluster.mail import Committed
from engine.executors.executor import Result
from engine.operations.errors import LeafEnded, UnknownLeaf
from engine.storage.store import Head

DONE, FAILED = Result("Succeeded"), Result("Failed")
HALF = Result("Running", progress="1/2")


def held(*found: str) -> Custody:
    """A custody of the workflow w, that the shard of epoch 1 has."""
    custody = Custody()
    custody.take_in("w", found)
    custody.give("w", 1)
    return custody


def change(put: str = "", gone: str = "", *, finished: bool = False, whole: bool = False) -> Committed:
    """Of leaves whose ids are letters."""
    leaves = {node_id: msgspec.Raw(b'"given"') for node_id in put}
    return Committed(Head("w", "default", "w", finished=finished), {"leaf": leaves}, {"leaf": [*gone]}, whole)


def test_a_leaf_is_started_once() -> None:
    custody = held()
    assert custody.start("w", 1, "a") is Start.NEW
    assert custody.start("w", 1, "a") is Start.KNOWN
    custody.report("w", "a", DONE)
    assert custody.start("w", 1, "a") is Start.KNOWN


def test_a_leaf_that_is_gone_may_be_started_anew() -> None:
    custody = held()
    custody.start("w", 1, "a")
    custody.report("w", "a", DONE)
    custody.committed(change(gone="a"))
    assert custody.start("w", 1, "a") is Start.NEW


def test_the_next_shard_is_told_what_is_not_taken_up_and_starts_nothing_again() -> None:
    custody = held()
    for node_id in ("a", "b", "c"):
        custody.start("w", 1, node_id)
        custody.report("w", node_id, DONE)
    custody.committed(change(gone="a"))
    assert custody.gone(1) == ["w"]
    assert custody.holder("w") == NOBODY
    assert custody.give("w", 2) == [("b", DONE), ("c", DONE)]
    assert custody.start("w", 2, "b") is Start.KNOWN


def test_what_a_shard_says_that_is_gone_does_not_count() -> None:
    custody = held()
    custody.gone(1)
    custody.give("w", 2)
    assert not custody.has("w", 1)
    assert custody.has("w", 2)
    assert custody.start("w", 1, "a") is Start.KNOWN
    assert not custody.stop("w", 1, "a")
    assert custody.start("w", 2, "a") is Start.NEW


def test_what_is_written_counts_whoever_has_the_workflow_by_then() -> None:
    custody = held()
    custody.start("w", 1, "a")
    custody.report("w", "a", DONE)
    custody.gone(1)
    custody.committed(change(gone="a"))
    assert custody.give("w", 2) == []


def test_a_leaf_that_an_earlier_process_was_to_start_is_to_be_adopted_once() -> None:
    custody = held("a")
    assert custody.start("w", 1, "a") is Start.FOUND
    assert custody.start("w", 1, "a") is Start.KNOWN
    assert custody.start("w", 1, "b") is Start.NEW


def test_a_leaf_of_an_earlier_process_may_report_before_its_shard_asks_for_it() -> None:
    custody = held("a")
    assert custody.report("w", "a", DONE) == 1
    assert custody.start("w", 1, "a") is Start.KNOWN


def test_progress_is_told_as_it_changes_and_the_first_end_counts() -> None:
    custody = held()
    custody.start("w", 1, "a")
    assert custody.report("w", "a", HALF) == 1
    assert custody.report("w", "a", HALF) == NOBODY
    assert custody.report("w", "a", DONE) == 1
    assert custody.report("w", "a", DONE) == NOBODY
    with pytest.raises(LeafEnded, match="was reported before, as Succeeded"):
        custody.report("w", "a", FAILED)
    assert custody.give("w", 1) == [("a", DONE)]


def test_what_is_reported_while_nobody_has_the_workflow_is_told_later() -> None:
    custody = held()
    custody.start("w", 1, "a")
    custody.gone(1)
    assert custody.report("w", "a", DONE) == NOBODY
    assert custody.give("w", 2) == [("a", DONE)]


@pytest.mark.parametrize("uid", ["w", "other"])
def test_what_is_no_leaf_that_runs_is_for_the_shard_to_judge(uid: str) -> None:
    with pytest.raises(UnknownLeaf, match="expected the id of a leaf that was started and has not ended"):
        held().report(uid, "a", DONE)


def test_of_a_leaf_that_was_stopped_nothing_is_heard_and_it_is_stopped_once() -> None:
    custody = held()
    custody.start("w", 1, "a")
    assert custody.stop("w", 1, "a")
    assert not custody.stop("w", 1, "a")
    assert custody.report("w", "a", DONE) == NOBODY
    assert custody.give("w", 2) == []


def test_a_leaf_that_ended_by_itself_meanwhile_is_not_stopped() -> None:
    custody = held()
    custody.start("w", 1, "a")
    custody.report("w", "a", HALF)
    custody.report("w", "a", DONE)
    assert not custody.stop("w", 1, "a")


def test_a_retry_stops_leaves_that_ended_long_ago_and_starts_them_again() -> None:
    custody = held()
    assert custody.stop("w", 1, "a")
    assert custody.start("w", 1, "a") is Start.NEW
    assert custody.report("w", "a", DONE) == 1


def test_a_workflow_that_is_over_is_not_known() -> None:
    custody = held()
    custody.start("w", 1, "a")
    custody.committed(change(finished=True))
    assert "w" not in custody
    assert len(custody) == 0
    assert custody.holder("w") == NOBODY
    assert custody.gone(1) == []
    custody.committed(change(finished=True))
    assert custody.start("w", 1, "a") is Start.KNOWN


def test_a_change_that_is_the_whole_of_it_says_which_leaves_there_are() -> None:
    custody = held()
    for node_id in ("a", "b"):
        custody.start("w", 1, node_id)
    custody.committed(change(whole=True, put="b"))
    assert custody.start("w", 1, "b") is Start.KNOWN
    assert custody.start("w", 1, "a") is Start.NEW
