"""Outcomes that were given for nothing: names that no template and no node has, as a typing error leaves them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from engine.executors.outcomes import NODE, Outcomes, split
from engine.manifests import Manifests
from engine.model.workflow import Workflow
from engine.shape import Document

_LATER: Final = re.compile(r"(\(\d+\)|\.onExit|\.hooks\.[^.]*)+$", re.DOTALL)
"""What a node's name ends with that may or may not come to be: an attempt, a hook."""
_TURN: Final = re.compile(r"\(\d+:.*\)$", re.DOTALL)
"""What it ends with before that where its step or task has a loop."""


def unmatched(outcomes: Outcomes, workflows: Sequence[Workflow], manifests: Manifests) -> Iterator[str]:
    """One line for each outcome that speaks of nothing, once the workflows have run.

    A node that was never made is not missed where its step or task is there: a `when` may have skipped it, or the
    workflow ended before. A turn of a loop is, where the loop has turns.
    """
    templates, calls = set[str](), set[str]()
    for document in [*(each.document for each in workflows), *(each.document for each in manifests.templates)]:
        _read((document.get("spec") or {}).get("templates") or (), templates, calls)
    nodes = {node.display_name for workflow in workflows for node in workflow.nodes.values()}
    turns = {_LATER.sub("", name) for name in nodes}
    looped = {_TURN.sub("", turn) for turn in turns if _TURN.search(turn)}
    for key in outcomes.subjects:
        scope, subject = split(key)
        name = subject.removeprefix(NODE)
        if scope and not any(f"{workflow.key}/".startswith(scope) for workflow in workflows):
            keys = [f"{each}/" for workflow in workflows for each in (workflow.namespace, workflow.key)]
            yield f"{key!r}: there is no workflow in {scope.rstrip('/')!r}{guess(scope, keys)}"
        elif name == subject:
            if name not in templates:
                yield f"there is no template {name!r}{guess(name, templates)}"
        elif name not in nodes and (turn := _LATER.sub("", name)) not in turns:
            step = _TURN.sub("", turn)
            if step in looped:
                own = [each for each in turns if each.startswith(f"{step}(")]
                yield f"there is no node {name!r}{guess(name, own, 0.0)}"
            elif step not in calls:
                yield f"there is no node {name!r}{guess(name, nodes | calls)}"


def _read(documents: Iterable[Document], templates: set[str], calls: set[str]) -> None:
    """Collect the names of templates, and of the steps, tasks and containers in them."""
    for template in documents:
        templates.add(template.get("name") or "")
        steps = [step for group in template.get("steps") or () for step in group]
        steps += (template.get("dag") or {}).get("tasks") or ()
        calls.update(step["name"] for step in steps)
        calls.update(each["name"] for each in (template.get("containerSet") or {}).get("containers") or ())
        _read([step["inline"] for step in steps if step.get("inline")], templates, calls)


def guess(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Which of those that are known was meant, to be put behind what is said; empty if none looks like it."""
    close = difflib.get_close_matches(name, sorted(known), 1, likeness)
    return f"; is it {close[0]!r}?" if close else ""
