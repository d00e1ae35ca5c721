"""Metrics that templates emit (Argo's workflow/metrics/metrics_custom.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.templates.specification import InvalidSpec

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def check_metrics(name: str, metrics: Mapping[str, Any] | None) -> None:
    """The `metrics` of the template `name`. Raises `InvalidSpec`."""
    for metric in (metrics or {}).get("prometheus") or ():
        own = metric.get("name") or ""
        if not _NAME.fullmatch(own):
            raise InvalidSpec(
                f"templates.{name} metric name '{own}' is invalid."
                " Metric names must contain alphanumeric characters or '_'"
            )
        for label in metric.get("labels") or ():
            key = label.get("key") or ""
            if not _NAME.fullmatch(key):
                raise InvalidSpec(
                    f"metric label '{key}' is invalid: keys may only contain alphanumeric characters or '_'"
                )
        if not metric.get("help"):
            raise InvalidSpec(f"templates.{name} metric '{own}' must contain a help string under 'help: ' field")
        problem = _problem(metric)
        if problem:
            raise InvalidSpec(f"templates.{name} metric '{own}' error: {problem}")


def _problem(metric: Mapping[str, Any]) -> str:
    for kind in ("gauge", "counter", "histogram"):
        if metric.get(kind) is not None and not metric[kind].get("value"):
            return f"missing {kind}.value"
    gauge = metric.get("gauge") or {}
    if gauge.get("realtime") and "resourcesDuration." in str(gauge["value"]):
        return "'resourcesDuration.*' metrics cannot be used in real-time"
    return ""
