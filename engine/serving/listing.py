"""Lists, page by page: which workflows are selected, the newest first, and which parts of them are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from aiohttp import web

from engine.serving.admission import check_path_namespace
from engine.serving.errors import ApiError, Code, invalid
from engine.serving.records import Record
from engine.serving.requests import ListOptions, boolean, list_options, moment_of, time_of
from engine.serving.selectors import FieldRequirement, field_requirements, label_selector

Selected = Callable[[Record], bool]

_NAME_FILTERS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "": lambda name, wanted: name == wanted,
    "Exact": lambda name, wanted: name == wanted,
    "Contains": lambda name, wanted: wanted in name,
    "Prefix": lambda name, wanted: name.startswith(wanted),
    "NotEquals": lambda name, wanted: name != wanted,
}
"""How ``metadata.name=VALUE`` of the field selector is meant (Argo's `nameFilter`)."""

_NAME: Final = "metadata.name"
_NAMESPACE: Final = "metadata.namespace"
_STARTED: Final = "spec.startedAt"
_REMAINING: Final = "ext.showRemainingItemCount"
_FIELDS: Final = frozenset({_NAME, _NAMESPACE, _STARTED, _REMAINING})
_OPERATORS: Final = ("=", "==", "!=", ">", "<")


def selected(request: web.Request, options: ListOptions, namespace: str) -> Selected:
    """Whether a workflow is one of those that a list or a watch is about. Raises `ApiError`."""
    check_path_namespace(namespace, all_will_do=True)
    labels = label_selector(options.labels)
    name_filter = request.query.get("nameFilter", "")
    if name_filter not in _NAME_FILTERS:
        expected = ", ".join(each for each in _NAME_FILTERS if each)
        raise invalid(f"nameFilter: expected {expected}, got {name_filter!r}")
    conditions: list[Selected] = [_condition(*each, name_filter) for each in _field_requirements(options.fields)]
    after, before = time_of(request, "createdAfter"), time_of(request, "finishedBefore")
    if after is not None:
        conditions.append(_later(lambda document: document["metadata"].get("creationTimestamp"), after))
    if before is not None:
        conditions.append(_earlier(lambda document: document["status"].get("finishedAt"), before))
    return lambda record: (
        (not namespace or record.key[0] == namespace)
        and labels(record.labels)
        and all(condition(record) for condition in conditions)
    )


def name_of(options: ListOptions) -> str:
    """The one workflow that the field selector names, empty where it is about more. Raises `ApiError`."""
    found = _field_requirements(options.fields)
    return next((value for field, operator, value in found if field == _NAME and operator != "!="), "")


def _field_requirements(text: str) -> list[FieldRequirement]:
    found = field_requirements(text, _FIELDS, _OPERATORS)
    for field, operator, value in found:
        compared = operator in ("<", ">")
        if compared != (field == _STARTED):
            raise invalid(f"fieldSelector: {field}: expected {'< or >' if field == _STARTED else '=, == or !='}")
        if field == _REMAINING:
            boolean(field, value)
    return found


def _condition(field: str, operator: str, value: str, name_filter: str) -> Selected:
    if field == _STARTED:
        moment = moment_of(f"fieldSelector: {_STARTED}", value)
        compared = _later if operator == ">" else _earlier
        return compared(lambda document: document["status"].get("startedAt"), moment)
    if field == _REMAINING:
        return lambda record: True  # it is always told
    if field == _NAMESPACE:
        return lambda record: (record.key[0] == value) != (operator == "!=")
    matches = _NAME_FILTERS[name_filter]
    return lambda record: matches(record.key[1], value) != (operator == "!=")


def _later(field: Callable[[Mapping[str, Any]], str | None], than: datetime) -> Selected:
    return lambda record: (text := field(record.document)) is not None and datetime.fromisoformat(text) > than


def _earlier(field: Callable[[Mapping[str, Any]], str | None], than: datetime) -> Selected:
    return lambda record: (text := field(record.document)) is not None and datetime.fromisoformat(text) < than


class Page(NamedTuple):
    """What one answer shows of a list, the newest first; ``token`` is for the next, empty on the last one."""

    items: list[Record]
    token: str
    remaining: int

    def metadata(self, revision: int) -> dict[str, Any]:
        """The list's own."""
        told: dict[str, Any] = {"resourceVersion": str(revision)}
        if self.token:
            told |= {"continue": self.token, "remainingItemCount": self.remaining}
        return told


def page(records: Iterable[Record], request: web.Request, namespace: str, oldest: int) -> Page:
    """The page that is asked for; numbers up to ``oldest`` are of an earlier life. Raises `ApiError`."""
    options = list_options(request)
    wanted = selected(request, options, namespace)
    _check_one_namespace(options, namespace)
    below = _position(options.token, oldest)
    found = [each for each in records if (below is None or each.created < below) and wanted(each)]
    found.sort(key=lambda each: each.created, reverse=True)
    if not options.limit or len(found) <= options.limit:
        return Page(found, "", 0)
    shown = found[: options.limit]
    return Page(shown, str(shown[-1].created), len(found) - len(shown))


def _check_one_namespace(options: ListOptions, namespace: str) -> None:
    """Raise `ApiError` where the field selector wants another namespace than the list is of, as Argo's server does."""
    for field, operator, value in _field_requirements(options.fields):
        if field == _NAMESPACE and operator != "!=" and namespace not in ("", value):
            raise invalid(f"fieldSelector: {_NAMESPACE}: expected {namespace!r}, of which the list is, got {value!r}")


def _position(token: str, oldest: int) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) < 20):
        raise invalid(f"listOptions.continue: expected what a list has told as metadata.continue, got {token!r}")
    if int(token) <= oldest:
        raise ApiError(Code.OUT_OF_RANGE, "The provided continue parameter is too old: begin the list anew", status=410)
    return int(token)
