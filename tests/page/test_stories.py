"""What plugins had to say to nodes is kept, bounded, and told in order; what was taken back is said to have been."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import PassTold, Recorder, Told
from engine.serving import stories
from engine.serving.stories import Stories
from rpc import Method, Outcome

TOLD = Told(
    workflow="default/one",
    uid="u",
    number=1,
    plugin="strict",
    method=Method.NODE_PRE_EXECUTE,
    node="a",
    name="one.a",
    outcome=Outcome.ANSWERED,
    status=None,
    error="",
    reply=b"{}",
    changed={"phase": ("Pending", "Failed")},
    observed=False,
    known=False,
    at=1000.0,
    waited=0.0,
    travelled=0.0,
    attempts=1,
)
ABORTED = PassTold("default/one", "u", 1, "aborted", "plugin 'other' is down", "Running", 1001.0, 1.0)


class Heard:
    """Stories, and somebody who tells them."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.stories = Stories(self.recorder)

    def hear(self, *told: Told | PassTold) -> None:
        for each in told:
            for listener in self.recorder.listeners:
                listener(each)

    def of(self, *nodes: str, uid: str = "u") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.stories.of(uid, nodes))
        return found


def test_a_story_is_told_by_time_with_what_was_changed() -> None:
    heard = Heard()
    later = TOLD._replace(node="", at=1002.0, plugin="late", changed={"metadata.labels.a": (None, {"b": [1]})})
    heard.hear(later, TOLD)
    first, second = heard.of("a", "")
    assert (first["plugin"], first["method"], first["outcome"], first["takenBack"]) == (
        "strict",
        "node.preExecute",
        "answered",
        None,
    )
    assert first["changed"] == [{"field": "phase", "old": "Pending", "new": "Failed"}]
    assert second["changed"] == [{"field": "metadata.labels.a", "old": None, "new": '{"b":[1]}'}]
    assert heard.of("b") == heard.of("a", uid="v") == []


def test_what_an_aborted_pass_had_changed_was_taken_back() -> None:
    heard = Heard()
    heard.hear(TOLD, ABORTED, TOLD._replace(number=2, known=True, plugin="other"))
    assert [each["takenBack"] for each in heard.of("a")] == ["plugin 'other' is down", None]


def test_the_same_again_is_counted() -> None:
    heard = Heard()
    failed = TOLD._replace(outcome=Outcome.BAD_STATUS, status=500, error="status 500", changed={})
    heard.hear(*(failed._replace(number=number, at=1000.0 + number) for number in range(5)), TOLD, failed)
    assert [(each["times"], each["at"], each["pass"]) for each in heard.of("a")] == [
        (1, 1000.0, 1),
        (1, 1000.0, 1),
        (5, 1004.0, 4),
    ]


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "EVENTS", 100)
    heard = Heard()
    for number in range(60):
        heard.hear(TOLD._replace(node=f"n{number}", changed={}), *(ABORTED._replace(number=each) for each in range(3)))
        heard.hear(
            *(TOLD._replace(at=float(each), changed={"message": ("", "x" * 5000 + str(each))}) for each in range(2))
        )
    assert len(heard.of("a")) <= stories.OF_A_NODE
    assert len(heard.of("a")[-1]["changed"][0]["new"]) == stories.MAX_VALUE + 1
    assert heard.of("n59")
    kept = sum(len(heard.of(f"n{number}")) for number in range(60)) + len(heard.of("a"))
    assert kept <= 100


def test_secrets_are_left_out() -> None:
    heard = Heard()
    heard.recorder.hide("hunter2hunter2")
    heard.hear(TOLD._replace(changed={"message": ("", "it was hunter2hunter2")}))
    heard.hear(
        TOLD._replace(changed={"message": ("", f"{'x' * (stories.MAX_VALUE - 10)}hunter2hunter2")})
    )  # cut in the middle
    assert "hunter2" not in json.dumps(heard.of("a"))
