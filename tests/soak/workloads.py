"""The workflows that go through the soak, and what must become of each, whatever happens to the plugins."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from engine import Workflow
from tests.soak.peers.sound import word_of

Template = dict[str, Any]

NAMESPACES: Final = ("default", "blue", "red")


@dataclass(frozen=True, slots=True)
class Work:
    """A workflow, the phase it must end in, and how often the leaves of each template must be started for it."""

    workflow: Workflow
    phase: str
    starts: Counter[str]


def leaf(name: str, *words: str, **fields: Any) -> Template:
    return {"name": name, "container": {"image": "busybox", "command": ["echo", *words]}, **fields}


def call(name: str, template: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "template": template, **fields}


def templates(word: str) -> tuple[Template, ...]:
    """Those of leaves, what is told being `word`. What becomes of a leaf is in its name: see `tests.soak.executor`."""
    return (
        leaf("leaf"),
        leaf("told", word),
        leaf("again", retryStrategy={"limit": "2", "retryPolicy": "Always"}),
        leaf("fails"),
        leaf("hangs", activeDeadlineSeconds=1),
        {"name": "asked", "plugin": {"soak": {}}},
        {"name": "pause", "suspend": {"duration": "200ms"}},
    )


def chain(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    main = {"name": "main", "steps": [[call(name, "leaf")] for name in "abc"]}
    return main, "Succeeded", Counter(leaf=3)


def fan(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    count = dice.randint(2, 8)
    main = {
        "name": "main",
        "steps": [[call("each", "leaf", withSequence={"count": str(count)})], [call("all", "told")]],
    }
    return main, "Succeeded", Counter(leaf=count, told=1)


def diamond(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    tasks = [
        call("a", "told"),
        call("b", "leaf", depends="a"),
        call("c", "fails", depends="a.Succeeded"),
        call("d", "leaf", depends="b && (c.Failed || c.Errored)"),
        call("never", "leaf", depends="a.Failed"),
    ]
    return {"name": "main", "dag": {"tasks": tasks}}, "Succeeded", Counter(told=1, leaf=2, fails=1)


def retried(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    main = {"name": "main", "steps": [[call("a", "again"), call("b", "leaf")]]}
    return main, "Succeeded", Counter(again=2, leaf=1)


def failing(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    main = {"name": "main", "steps": [[call("a", "fails")], [call("b", "leaf")]]}
    return main, "Failed", Counter(fails=1, told=1)  # `told` is the exit handler


def outsourced(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    main = {"name": "main", "steps": [[call("a", "asked"), call("b", "asked")], [call("c", "leaf")]]}
    return main, "Succeeded", Counter(leaf=1)


def timed(dice: random.Random) -> tuple[Template, str, Counter[str]]:
    patient = {"continueOn": {"failed": True}}
    main = {"name": "main", "steps": [[call("a", "pause"), call("b", "hangs", **patient)], [call("c", "leaf")]]}
    return main, "Succeeded", Counter(hangs=1, leaf=1)


SMALL: Final = (chain, fan, diamond, retried, failing, timed)


class Workloads:
    """Makes workflows. With `visits_only` they need no plugin to tell them a word or to execute a template."""

    def __init__(self, dice: random.Random, *, visits_only: bool) -> None:
        self._dice = dice
        self._shapes = SMALL if visits_only else (*SMALL, outsourced)
        self._templates = templates(word_of("{{workflow.name}}") if visits_only else "{{word}}")

    def small(self, name: str) -> Work:
        """One of a handful of nodes."""
        return self._work(self._dice.choice(self._shapes), name)

    def large(self, name: str, leaves: int) -> Work:
        """One of `leaves` nodes that all run at once, but for one that comes after."""

        def wide(dice: random.Random) -> tuple[Template, str, Counter[str]]:
            first = call("each", "leaf", withSequence={"count": str(leaves - 1)})
            main = {"name": "main", "steps": [[first], [call("all", "told")]]}
            return main, "Succeeded", Counter(leaf=leaves - 1, told=1)

        return self._work(wide, name)

    def _work(self, make: Callable[[random.Random], tuple[Template, str, Counter[str]]], name: str) -> Work:
        main, phase, starts = make(self._dice)
        spec: dict[str, Any] = {"entrypoint": "main", "templates": [main, *self._templates]}
        if phase == "Failed":
            spec["onExit"] = "told"
        metadata = {"name": name, "namespace": self._dice.choice(NAMESPACES)}
        document = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
        return Work(Workflow(document), phase, starts)
