"""Manifests that are loaded and run: whatever is in a file is refused in one line, or its workflow ends or says why.

The documents have something of everything, and are damaged as documents, then as texts.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from engine import Engine, InvalidWorkflow, ManifestError, Workflow, load
from engine.shape import WrongType, check_shape
from tests.fuzz.expressions import tagged
from tests.fuzz.values import at, damaged, damaged_text, encoded, encoded_as_yaml, places, replaced
from tests.fuzz.verdicts import Wrong, check_written, told_in_a_line

SIMULATED: Final = 600.0
"""Seconds of simulated time, in which attempts without limit are one a second."""
PASSES: Final = 5000
"""More than a run of these manifests takes in that time."""
REAL: Final = 60.0
"""Seconds of real time after which it hangs."""

_DOCUMENTS: Final[list[Any]] = list(yaml.load_all(Path(__file__).with_name("whole.yaml").read_text(), yaml.CSafeLoader))
_WORKFLOW: Final = 0


@dataclass(frozen=True)
class Case:
    """A file."""

    text: bytes
    suffix: str
    strict: bool | None

    def __str__(self) -> str:
        return f"{self.suffix}, strict {self.strict}\n{self.text.decode(errors='backslashreplace')}"


def generate(dice: Random) -> Case:
    """The next case of `dice`."""
    documents = list(_DOCUMENTS)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        which = dice.choice((_WORKFLOW, _WORKFLOW, _WORKFLOW, *range(len(documents))))
        if dice.random() < 0.5:
            documents[which] = damaged(dice, documents[which])
        else:
            documents[which] = _with_tags(dice, documents[which])
    strict = dice.choice((None, None, True, False))
    if dice.random() < 0.5:
        text, suffix = encoded(documents), ".json"
    else:
        text, suffix = encoded_as_yaml(documents), ".yaml"
    while dice.random() < 0.1:
        text = damaged_text(dice, text)
    return Case(text, suffix, strict)


def _with_tags(dice: Random, document: Any) -> Any:
    """The document with another text at one or more of the places where it has one."""
    texts = [path for path in places(document) if isinstance(at(document, path), str)]
    for path in dice.sample(texts, min(len(texts), dice.randint(1, 3))):
        document = replaced(document, path, tagged(dice))
    return document


async def check(case: Case) -> str:
    """Load the file and run what is in it; how that ended. Raises `Wrong`."""
    try:
        manifests = load([_written(case)], strict=case.strict)
    except ManifestError as error:
        return told_in_a_line(error, case)
    shared = [manifests.workflow_templates, manifests.cluster_workflow_templates]
    works: dict[str, Workflow] = {}
    try:
        for shelf in shared:
            for each in shelf.values():
                check_shape(each.document)
        for manifest in manifests.workflows:
            work = Workflow(manifest.document)
            works[work.key] = work
    except (InvalidWorkflow, WrongType) as error:
        return told_in_a_line(error, case)
    templates, cluster, config = (
        {name: each.document for name, each in shelf.items()} for shelf in (*shared, manifests.config_maps)
    )
    engine = Engine(workflow_templates=templates, cluster_workflow_templates=cluster, config_maps=config)
    try:
        async with engine, asyncio.timeout(REAL):
            await engine.run(works.values(), timeout=SIMULATED)
    except TimeoutError:
        raise Wrong(f"not over after {engine.stats.passes} passes", case) from None
    nodes = sum(len(work.nodes) for work in works.values())  # `parallelism` may let them run one after the other
    if engine.stats.passes > PASSES + nodes:
        raise Wrong(f"{engine.stats.passes} passes", case)
    for work in works.values():
        if "internal error" in work.message:
            raise Wrong(work.message, case)
        if not work.finished and not engine.waiting_for(work):
            raise Wrong(f"{work.key} is not finished, and waits for nothing", case)
        check_written(work, case)
    phases = sorted({work.phase or "not begun" for work in works.values()})
    return ", ".join(phases) or "no workflow"


def _written(case: Case) -> Path:
    path = Path(_folder().name, f"manifest{case.suffix}")
    path.write_bytes(case.text)
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
