"""A DAG task's `depends`."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError
from engine.expressions.depends import RESULTS, parse_depends


def may_run(text: str, *results: str, continue_on: dict[str, tuple[str, ...]] | None = None) -> bool:
    """Whether a task that depends so may run where `results`, such as `A.Failed`, are all that has come to pass."""
    return parse_depends(text, continue_on).evaluate(lambda task, result: f"{task}.{result}" in results)


@pytest.mark.parametrize(
    ("result", "runs"),
    [
        ("Succeeded", True),
        ("Skipped", True),
        ("Daemoned", True),
        ("Failed", False),
        ("Errored", False),
        ("Omitted", False),
        ("AnySucceeded", False),
        ("AllFailed", False),
    ],
)
def test_a_bare_name_asks_for_success_skip_or_daemon(result: str, *, runs: bool) -> None:
    assert may_run("A", f"A.{result}") is runs


def test_a_bare_name_asks_for_what_continue_on_adds() -> None:
    assert may_run("A", "A.Failed", continue_on={"A": ("Failed",)})
    assert not may_run("A", "A.Errored", continue_on={"A": ("Failed",)})
    assert not may_run("A && B", "A.Failed", "B.Failed", continue_on={"A": ("Failed",)})
    assert not may_run("A.Succeeded", "A.Failed", continue_on={"A": ("Failed",)})


@pytest.mark.parametrize("result", RESULTS)
def test_each_result_can_be_asked_for(result: str) -> None:
    assert may_run(f"task-1.{result}", f"task-1.{result}")
    assert not may_run(f"task-1.{result}")


@pytest.mark.parametrize(
    ("text", "results", "runs"),
    [
        ("A && B", ("A.Succeeded",), False),
        ("A && B", ("A.Succeeded", "B.Skipped"), True),
        ("A || B", ("B.Succeeded",), True),
        ("A.Failed || B && C", ("A.Failed",), True),
        ("(A.Failed || B) && C", ("A.Failed",), False),
        ("A && (C.Succeeded || C.Failed)", ("A.Succeeded", "C.Failed"), True),
        ("!A.Failed", (), True),
        ("!(A.Failed || B.Failed)", ("B.Failed",), False),
        ("!!A.Failed", ("A.Failed",), True),
        ("!A", ("A.Omitted",), True),
        ("  A\n&&B.AnySucceeded ", ("A.Succeeded", "B.AnySucceeded"), True),
    ],
)
def test_logic(text: str, results: tuple[str, ...], *, runs: bool) -> None:
    assert may_run(text, *results) is runs


def test_tasks_are_named_once_and_in_order() -> None:
    depends = parse_depends("b-1 && (a.Failed || b-1.Skipped) && !c.AllFailed && 2x.AnySucceeded")
    assert depends.tasks == ("b-1", "a", "c", "2x")


def test_a_result_that_settles_it_ends_the_questions() -> None:
    asked = []

    def lookup(task: str, result: str) -> bool:
        asked.append(f"{task}.{result}")
        return True

    assert parse_depends("A.Failed || B.Failed").evaluate(lookup)
    assert asked == ["A.Failed"]


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ("", "unexpected end", 1),
        ("A &&", "unexpected end", 5),
        ("A & B", "unexpected '&'", 3),
        ("A B", "unexpected 'B'", 3),
        ("(A", "unexpected end", 3),
        ("A)", "unexpected ')'", 2),
        ("A.Fialed", "task result 'Fialed' for task 'A' is invalid", 1),
        ("B && A.succeeded", "task result 'succeeded' for task 'A' is invalid", 6),
        ("A.", "unexpected '.'", 2),
        ("A == B", "unexpected '='", 3),
        ("-A", "unexpected '-'", 1),
    ],
)
def test_mistakes_are_placed(text: str, reason: str, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_depends(text)
    assert reason in caught.value.reason
    assert (caught.value.line, caught.value.column) == (1, column)
