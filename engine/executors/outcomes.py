"""The outcomes file: how the leaves of a simulated run end, by template or by node."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.manifests import ManifestError, load_mapping
from engine.model.node import ERROR, FAILED, SKIPPED, SUCCEEDED, Node
from engine.shape import explain
from rpc.durations import parse_duration

_ATTEMPT: Final = re.compile(r"\((\d+)\)$")

Scalar = str | int | float | bool

_MOST_SLASHES: Final = 2
"""In what says for which workflows an outcome is meant."""

NODE: Final = "node:"
"""What the keys of nodes begin with; the others are names of templates."""


PHASES: Final = (SUCCEEDED, FAILED, ERROR, SKIPPED)
"""In which a leaf can end."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How a leaf ends. ``duration`` is a number of seconds or Go's notation; ``parameters`` are its outputs by name."""

    phase: str = SUCCEEDED
    message: str = ""
    exit_code: Scalar | None = None
    result: Scalar | None = None
    parameters: dict[str, Scalar] = {}
    duration: Scalar = 0

    @property
    def seconds(self) -> float:
        """The duration in seconds. Raises `ValueError`."""
        return float(self.duration) if not isinstance(self.duration, str) else parse_duration(self.duration)

    def check(self) -> None:
        """Raises `ValueError` where the phase is none in which a leaf ends, or the duration is none."""
        if self.phase not in PHASES:
            raise ValueError(f"phase: expected {' or '.join(PHASES)}, got {self.phase!r}")
        if not 0 <= self.seconds < float("inf"):
            raise ValueError(f"expected a duration of 0 or more, got {self.duration!r}")


def _reason(error: msgspec.ValidationError, several: bool) -> str:
    """What is wrong with an outcome, and what it may have in place of what it may not."""
    reason = explain(str(error)) if several else explain(str(error)).removeprefix("[0]").lstrip(".: ")
    fields = ", ".join(field.encode_name for field in msgspec.structs.fields(Outcome))
    return f"{reason}, only {fields}" if "has no field" in reason else reason


def split(key: str) -> tuple[str, str]:
    """For which workflows an outcome is meant (``NAMESPACE/``, ``NAMESPACE/WORKFLOW/`` or empty), and what ends so."""
    scope, node, name = key.partition(NODE)  # the name of a node may have anything in it, that of a template no slash
    if node and (not scope or scope.endswith("/")):
        return scope, node + name
    scope, slash, name = key.rpartition("/")
    return scope + slash, name


class Outcomes:
    """Outcomes by template name or ``node:<display name>``; what is not named succeeds at once.

    Before either may stand for which workflows it is meant, as ``NAMESPACE/`` or ``NAMESPACE/WORKFLOW/``. A node's own
    counts for more than its template's, and of several the one for the fewest workflows.

    A list gives successive attempts: the attempts of a retried node by their number, else one start after the other.
    The last entry goes on for ever.
    """

    def __init__(self, outcomes: Mapping[str, Sequence[Outcome]] | None = None) -> None:
        self._outcomes = dict(outcomes or {})
        self._is_scoped = any(split(key)[0] for key in self._outcomes)
        self._starts: dict[str, int] = {}

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Outcomes:
        """Read a YAML or JSON file. Raises `ManifestError` that names the file, the place and what was expected."""
        return cls.read(load_mapping(Path(path)), str(path))

    @classmethod
    def read(cls, document: Mapping[str, Any], named: str = "outcomes") -> Outcomes:
        """As `load`, of a document that is here already; errors call it ``named``."""
        outcomes: dict[str, list[Outcome]] = {}
        for key, value in document.items():
            if split(key)[0].count("/") > _MOST_SLASHES or split(key)[0].startswith("/"):
                raise ManifestError(f"{named}: {key}: expected NAME, NAMESPACE/NAME or NAMESPACE/WORKFLOW/NAME")
            try:
                outcomes[key] = msgspec.convert(value if isinstance(value, list) else [value], list[Outcome])
                for each in outcomes[key]:
                    each.check()
            except msgspec.ValidationError as error:
                raise ManifestError(f"{named}: {key}: {_reason(error, isinstance(value, list))}") from None
            except ValueError as error:
                raise ManifestError(f"{named}: {key}: {error}") from None
            if value == []:
                raise ManifestError(f"{named}: {key}: expected at least one outcome")
        return cls(outcomes)

    @property
    def subjects(self) -> list[str]:
        """What outcomes are given for: templates, and nodes behind `NODE`."""
        return list(self._outcomes)

    def __bool__(self) -> bool:
        """Whether anything is said at all."""
        return bool(self._outcomes)

    def of(self, workflow: str, template: str, node: Node) -> Outcome:
        """How this start of the node ends; ``workflow`` is the workflow's key, as in ``NAMESPACE/NAME``."""
        key = self._key(workflow, template, node)
        if key is None:
            return SUCCESS
        attempt = _ATTEMPT.search(node.name)
        outcomes = self._outcomes[key]
        if attempt is not None:
            number = int(attempt.group(1))
        else:
            number = self._starts[key] = self._starts.get(key, -1) + 1
        return outcomes[min(number, len(outcomes) - 1)]

    def names(self, workflow: str, template: str, node: Node) -> bool:
        """Whether anything is said of the node, by itself or its template."""
        return self._key(workflow, template, node) is not None

    def _key(self, workflow: str, template: str, node: Node) -> str | None:
        if not self._outcomes:
            return None
        names = [f"{NODE}{node.display_name}", template]
        if _ATTEMPT.search(node.name):
            names.insert(1, f"{NODE}{_ATTEMPT.sub('', node.display_name)}")
        return self._first(workflow, names)

    def _first(self, workflow: str, names: Sequence[str]) -> str | None:
        """The first of the names that outcomes are given for, in this workflow, in its namespace or in general."""
        if self._is_scoped:
            scopes = (f"{workflow}/", f"{workflow.partition('/')[0]}/", "")
            names = [f"{scope}{name}" for name in names for scope in scopes]
        return next((name for name in names if name in self._outcomes), None)

    def named(self, workflow: str, display_name: str, pod: Node, retries: int) -> Outcome | None:
        """How a container of a container set ends in that pod, None where nothing is said of it.

        It runs up to `retries` times again in there until it succeeds; the next attempt of the pod takes up the list
        behind those runs.
        """
        key = self._first(workflow, [f"{NODE}{display_name}"])
        if key is None:
            return None
        outcomes, attempt = self._outcomes[key], _ATTEMPT.search(pod.name)
        first = min(int(attempt.group(1)) * (retries + 1) if attempt is not None else 0, len(outcomes) - 1)
        runs = outcomes[first : first + retries + 1]
        return next((run for run in runs if run.phase == SUCCEEDED), runs[-1])


SUCCESS: Final = Outcome()
"""How leaves end of which nothing is said."""


def text_of_scalar(value: Scalar) -> str:
    """A scalar as a parameter's value."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def outputs_of(
    outcome: Outcome,
    template: Mapping[str, Any],
    *,
    default_exit_code: bool,
    has_result: bool,
    make_up: Callable[[str], str] = lambda _: "",
) -> dict[str, Any]:
    """The outputs a simulated leaf reports: its result, exit code, and a value for every parameter it declares.

    ``make_up`` gives the value of an output that the outcome does not name, ``result`` or ``parameters.NAME``.
    """
    outputs: dict[str, Any] = {}
    parameters = {name: text_of_scalar(value) for name, value in outcome.parameters.items()}
    if outcome.phase == "Succeeded":
        if has_result and outcome.result is None:
            outputs["result"] = make_up("result")
        for declared in (template.get("outputs") or {}).get("parameters") or ():
            source = declared.get("valueFrom") or {}
            supplied = source.get("supplied") is not None
            absent = declared["name"] not in parameters and declared.get("value") is None
            if absent and source.get("default") is None and not supplied:
                parameters[declared["name"]] = make_up(f"parameters.{declared['name']}")
    if parameters:
        outputs["parameters"] = [{"name": name, "value": value} for name, value in parameters.items()]
    if outcome.result is not None:
        outputs["result"] = text_of_scalar(outcome.result)
    if outcome.exit_code is not None:
        outputs["exitCode"] = text_of_scalar(outcome.exit_code)
    elif default_exit_code:
        outputs["exitCode"] = "0" if outcome.phase == "Succeeded" else "1"
    return outputs
