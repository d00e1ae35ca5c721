"""What a CronWorkflow asks for at a time: whether it is due, whether it may run, and how its status goes on.

Rules of Argo's (its workflow/cron/operator.go). Nothing here waits, reads a clock or changes a document in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from engine.expressions import ExpressionError, evaluate
from engine.expressions.errors import Invalid
from engine.expressions.times import Time
from engine.expressions.when import evaluate_when
from engine.manifests.cron import one_run
from engine.model.clock import timestamp
from engine.serving.requests import Document
from engine.serving.schedules import InvalidSchedule, Schedule, parse_schedule
from engine.shape import explain
from engine.shape.values import Flag, Shape, Text, Whole
from engine.substitution.text import SubstitutionError, find_tags, item_text
from engine.substitution.variables import json_map

KIND: Final = "CronWorkflow"
SCHEDULED: Final = "workflows.argoproj.io/scheduled-time"
"""The annotation of a workflow with the time for which it was made."""
LAST_SCHEDULES: Final = "cronworkflows.argoproj.io/last-used-schedule"
"""The annotation of a CronWorkflow with the schedules by which it has made one last."""
COMPLETED: Final = "cronworkflows.argoproj.io/completed"
"""The label of a CronWorkflow whose `stopStrategy` has ended it."""

LONGEST_NAME: Final = 52
"""Characters, so that the seconds since 1970 fit in behind it (Argo's validateCronWorkflow)."""
POLICIES: Final = ("Allow", "Forbid", "Replace")

ACTIVE: Final = "Active"
STOPPED: Final = "Stopped"

SPEC_ERROR: Final = "SpecError"
SUBMISSION_ERROR: Final = "SubmissionError"

_KEPT: Final = {True: 3, False: 1}
"""So many workflows that succeeded, or did not, are kept where nothing is said."""


class InvalidCron(ValueError):
    """A CronWorkflow that Argo refuses; the message is one line."""


class StopStrategy(Shape):
    """``stopStrategy``."""

    expression: str


class Metadata(Shape):
    """``metadata``, as far as it is read here."""

    name: Text = None
    namespace: Text = None
    uid: Text = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None


class Spec(Shape):
    """``spec``."""

    workflow_spec: dict[str, Any]
    schedule: Text = None
    schedules: list[str] | None = None
    timezone: Text = None
    suspend: Flag = None
    concurrency_policy: Text = None
    starting_deadline_seconds: Whole = None
    successful_jobs_history_limit: Whole = None
    failed_jobs_history_limit: Whole = None
    when: Text = None
    stop_strategy: StopStrategy | None = None
    workflow_metadata: Metadata | None = None


class Reference(Shape):
    """One of ``status.active``."""

    name: str
    uid: str


class Status(Shape):
    """``status``."""

    active: list[Reference] | None = None
    last_scheduled_time: datetime | None = None
    succeeded: Whole = None
    failed: Whole = None
    phase: Text = None


class Cron(Shape):
    """A CronWorkflow, read."""

    metadata: Metadata
    spec: Spec
    status: Status | None = None

    @property
    def active(self) -> list[Reference]:
        """The workflows of it that are not finished, as far as its status knows."""
        return (self.status.active if self.status else None) or []

    @property
    def schedules(self) -> tuple[str, ...]:
        """The schedules, with the time zone in front where there is one (Argo's GetSchedulesWithTimezone)."""
        zone = f"CRON_TZ={self.spec.timezone} " if self.spec.timezone else ""
        return tuple(f"{zone}{each}" for each in self.spec.schedules or [self.spec.schedule or ""] if each)


def read(document: Mapping[str, Any]) -> Cron:
    """A CronWorkflow's document. Raises `InvalidCron` where a field is of the wrong type."""
    try:
        return msgspec.convert(document, Cron)
    except msgspec.ValidationError as error:
        raise InvalidCron(explain(str(error))) from None


def check(cron: Cron) -> None:
    """Raise `InvalidCron` for what Argo refuses beside the workflow itself (its ValidateCronWorkflow)."""
    spec, name = cron.spec, cron.metadata.name or ""
    if spec.schedules and spec.schedule:
        raise InvalidCron("cron workflow cant be configured with both Spec.Schedule and Spec.Schedules")
    if len(name) > LONGEST_NAME:
        raise InvalidCron(
            f'cron workflow name "{name}" must not be more than {LONGEST_NAME} characters long (currently {len(name)})'
        )
    if not cron.schedules:
        raise InvalidCron("cron workflow must have at least one schedule")
    for schedule in cron.schedules:
        try:
            _parsed(schedule)
        except InvalidSchedule as error:
            raise InvalidCron(f"cron schedule {schedule} is malformed: {error}") from None
    if spec.concurrency_policy and spec.concurrency_policy not in POLICIES:
        raise InvalidCron(f"'{spec.concurrency_policy}' is not a valid concurrencyPolicy")
    if (spec.starting_deadline_seconds or 0) < 0:
        raise InvalidCron("startingDeadlineSeconds must be positive")


@lru_cache(maxsize=4096)
def _parsed(schedule: str) -> Schedule:
    return parse_schedule(schedule)


# Times, in seconds since the epoch


def next_time(cron: Cron, since: float) -> float | None:
    """The first time after `since` at which one is due, None where there is none."""
    return min((each for each in _after(cron, since) if each is not None), default=None)


def due(cron: Cron, since: float, now: float) -> list[float]:
    """The times after `since` and up to `now` that are to be seen to, in order: of each schedule the first one, however
    many have passed, as robfig/cron does after a clock has jumped."""
    return sorted({each for each in _after(cron, since) if each is not None and each <= now})


def missed(cron: Cron, now: float) -> float | None:
    """The last time that went by unseen, None where there is none or it is longer ago than `startingDeadlineSeconds`.

    Without that nothing is made up for, nor is what was never scheduled before, or by other schedules (Argo's
    shouldOutstandingWorkflowsBeRun).
    """
    last, deadline = cron.status.last_scheduled_time if cron.status else None, cron.spec.starting_deadline_seconds
    used = (cron.metadata.annotations or {}).get(LAST_SCHEDULES)
    if last is None or not deadline or used != ",".join(cron.schedules):
        return None
    times = (_parsed(each).before(now, last.timestamp()) for each in cron.schedules)
    return max((each for each in times if each is not None and now < each + deadline), default=None)


def _after(cron: Cron, since: float) -> Iterable[float | None]:
    return (_parsed(each).after(since) for each in cron.schedules)


# What may be


class Verdict(NamedTuple):
    """Whether one is to be made now, and before that which active ones are to be terminated; else ``why`` not."""

    run: bool
    why: str = ""
    terminated: tuple[Reference, ...] = ()


def verdict(cron: Cron, now: float) -> Verdict:
    """Whether a time that has come leads to a workflow (Argo's enforceRuntimePolicy).

    Raises `InvalidCron` where an expression fails.
    """
    spec, policy = cron.spec, cron.spec.concurrency_policy or "Allow"
    if spec.suspend:
        return Verdict(run=False, why="it is suspended")
    if stops(cron, now):
        return Verdict(run=False, why="its stopStrategy has ended it")
    if not _holds(cron, now):
        return Verdict(run=False, why=f"its condition does not hold: {spec.when}")
    if policy == "Forbid" and cron.active:
        return Verdict(run=False, why=f"{cron.active[0].name} is active, and concurrencyPolicy is Forbid")
    return Verdict(run=True, terminated=tuple(cron.active) if policy == "Replace" else ())


def stops(cron: Cron, now: float) -> bool:
    """Whether its `stopStrategy` ends it, or has done so. Raises `InvalidCron`."""
    if cron.status is not None and cron.status.phase == STOPPED:
        return True
    if cron.spec.stop_strategy is None:
        return False
    expression = cron.spec.stop_strategy.expression
    try:
        found = evaluate(expression, {"cronworkflow": _variables(cron)}, clock=lambda: now)
    except ExpressionError as error:
        raise InvalidCron(f"failed to evaluate stop expression: {error}") from None
    if not isinstance(found, bool):
        raise InvalidCron(f"failed to evaluate stop expression: expected a boolean of {expression!r}, got {found!r}")
    return found


def _holds(cron: Cron, now: float) -> bool:
    """Whether its `when` holds, tags filled in (Argo's evalWhen). Raises `InvalidCron`."""
    text, filled, at = cron.spec.when or "", "", 0
    variables = _variables(cron)
    try:
        for start, end in find_tags(text):
            tag = text[start + 2 : end - 2].strip()
            if tag.startswith("="):
                value = evaluate(tag[1:], {"cronworkflow": variables}, clock=lambda: now)
            else:
                name = tag.removeprefix("cronworkflow.")
                if name == tag or name not in variables:
                    raise InvalidCron(f"when: failed to resolve {{{{{tag}}}}}")
                value = variables[name]
            filled += text[at:start] + item_text(str(value) if isinstance(value, Time) else value)
            at = end
        return evaluate_when(filled + text[at:])
    except (ExpressionError, Invalid, SubstitutionError) as error:
        raise InvalidCron(f"when: {error}") from None


def _variables(cron: Cron) -> dict[str, Any]:
    metadata, status = cron.metadata, cron.status or Status()
    labels, annotations = metadata.labels or {}, metadata.annotations or {}
    last = status.last_scheduled_time
    return {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "labels": labels,
        "labels.json": json_map(labels),
        "annotations": annotations,
        "annotations.json": json_map(annotations),
        "failed": status.failed or 0,
        "succeeded": status.succeeded or 0,
        "lastScheduledTime": None if last is None else Time(last),
    }


# What is made


def workflow_of(document: Mapping[str, Any], scheduled: float) -> Document:
    """The Workflow of a time. By its name alone a second one of that time is refused."""
    made = one_run(document)
    assert made is not None, "a CronWorkflow that was read has a workflowSpec"
    metadata, own = made["metadata"], document["metadata"]
    del metadata["generateName"]
    metadata["name"] = f"{own['name']}-{int(scheduled)}"
    metadata["annotations"] = {**metadata.get("annotations", {}), SCHEDULED: timestamp(scheduled)}
    metadata["ownerReferences"] = [
        {
            "apiVersion": made["apiVersion"],
            "kind": KIND,
            "name": own["name"],
            "uid": own["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    return made


# How its status goes on


def with_run(document: Document, workflow: Mapping[str, Any], scheduled: float) -> Document:
    """It has made a workflow for a time."""
    document = with_active(document, workflow)
    status = {**document["status"], "phase": ACTIVE, "lastScheduledTime": timestamp(scheduled)}
    annotations = {
        **(document["metadata"].get("annotations") or {}),
        LAST_SCHEDULES: ",".join(read(document).schedules),
    }
    metadata = {**document["metadata"], "annotations": annotations}
    return without_condition({**document, "metadata": metadata, "status": status}, SUBMISSION_ERROR)


def with_active(document: Document, workflow: Mapping[str, Any]) -> Document:
    """It has that unfinished workflow."""
    status, metadata = document.get("status") or {}, workflow["metadata"]
    active = status.get("active") or []
    if any(each["uid"] == metadata["uid"] for each in active):
        return document
    named = {field: metadata[field] for field in ("name", "namespace", "uid")}
    reference = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", **named}
    return {**document, "status": {**status, "active": [*active, reference]}}


def with_ended(document: Document, ended: Mapping[str, str], now: float) -> Document:
    """Some of its active workflows have ended: by their uid, with the phase, which is empty for those that are gone.

    Raises `InvalidCron` where its `stopStrategy` fails.
    """
    status = dict(document.get("status") or {})
    active = [each for each in status.get("active") or () if each["uid"] not in ended]
    known = [ended[each["uid"]] for each in status.get("active") or () if each["uid"] in ended]
    if not known:
        return document
    status["active"] = active
    for phase in filter(None, known):
        counted = "succeeded" if phase == "Succeeded" else "failed"
        status[counted] = (status.get(counted) or 0) + 1
    document = {**document, "status": status}
    return stopped(document) if stops(read(document), now) else document


def stopped(document: Document) -> Document:
    """Its `stopStrategy` has ended it, for good."""
    if (document.get("status") or {}).get("phase") == STOPPED:
        return document
    labels = {**(document["metadata"].get("labels") or {}), COMPLETED: "true"}
    return {
        **document,
        "metadata": {**document["metadata"], "labels": labels},
        "status": {**(document.get("status") or {}), "phase": STOPPED},
    }


def with_condition(document: Document, type_: str, message: str) -> Document:
    """Something is wrong with it; one that cannot be submitted counts as a failure."""
    told = {"type": type_, "message": message, "status": "True"}
    if type_ == SPEC_ERROR and told in ((document.get("status") or {}).get("conditions") or ()):
        return document
    found = without_condition(document, type_)
    status = dict(found.get("status") or {})
    status["conditions"] = [*(status.get("conditions") or ()), told]
    if type_ == SUBMISSION_ERROR:
        status["failed"] = (status.get("failed") or 0) + 1
    return {**found, "status": status}


def without_condition(document: Document, type_: str) -> Document:
    """That is not wrong with it any more."""
    status = document.get("status") or {}
    kept = [each for each in status.get("conditions") or () if each.get("type") != type_]
    if len(kept) == len(status.get("conditions") or ()):
        return document
    return {**document, "status": {**status, "conditions": kept}}


class Finished(NamedTuple):
    """A workflow of a CronWorkflow that is over."""

    name: str
    succeeded: bool
    finished_at: str


def surplus(cron: Cron, finished: Iterable[Finished]) -> list[str]:
    """The names of those that are more than its history limits let it keep, the oldest."""
    limits = {True: cron.spec.successful_jobs_history_limit, False: cron.spec.failed_jobs_history_limit}
    found = list[str]()
    latest = sorted(finished, key=lambda each: (each.finished_at, each.name), reverse=True)
    for succeeded, limit in limits.items():
        kept = _KEPT[succeeded] if limit is None or limit < 0 else limit
        found += [each.name for each in latest if each.succeeded == succeeded][kept:]
    return found
