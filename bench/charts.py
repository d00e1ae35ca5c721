"""The page's pictures: Vega-Lite specifications, drawn here and now into SVG that the page holds inline.

Colours are the page's own CSS variables, so that one drawing is right on a light and on a dark page, and nothing is
left for the browser to fetch or to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert

from bench.record import Bar, Latency, Micro, Moment, PeerRow, PluginRow, ScenarioRow

Spec = dict[str, Any]

OURS = "oarlock"
_VERSION = "5.21"
_CONFIG: Spec = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "autosize": {"type": "fit-x", "contains": "padding"},
    "padding": {"left": 0, "right": 8, "top": 4, "bottom": 4},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 220,
    },
    "text": {"color": "var(--text)", "fontSize": 12},
    "rule": {"color": "var(--text)"},
}
_WIDE = 910
_HALF = 432
_ROW = 30
_EM = 7.4
"""Pixels to reserve for a letter of a label: the browser's font is not known here, and may be a wide one."""


def _quantity(field: str, title: str, **axis: Any) -> Spec:
    return {"field": field, "type": "quantitative", "axis": {"title": title, **axis}}


def peers(rows: Sequence[PeerRow], field: str, *, digits: str, best: str) -> str:
    """Bars of one figure of each peer, the best on top; oarlock in the page's accent colour."""
    values = [{"name": row.name, "value": getattr(row, field), "ours": row.name == OURS} for row in rows]
    order = "descending" if best == "highest" else "ascending"
    return _svg(_bars(values, sort={"field": "value", "order": order}, digits=digits), width=_HALF)


def bars(rows: Sequence[Bar]) -> str:
    """Each ratio as the share of its limit: the limits make one vertical line, and the good side is told by colour."""
    values: list[Spec] = [
        {
            "name": f"{row.name}  ({'≥' if row.at_least else '≤'} {row.limit:g}{row.unit})",
            "share": min(row.measured / row.limit, 2.0),
            "passed": row.passed,
            "label": f"{'✓' if row.passed else '✗'} {row.measured:.3g}{row.unit}",
        }
        for row in rows
    ]
    y = _names([value["name"] for value in values])
    x = {"field": "share", "type": "quantitative", "scale": {"domain": [0, 2.4]}, "axis": None}
    colour = _either("datum.passed", "var(--good)", "var(--bad)")
    told = {"y": y, "x": {"value": "width"}, "text": {"field": "label"}, "color": colour}
    spec: Spec = {
        "data": {"values": values},
        "height": {"step": _ROW},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 3, "height": 16},
                "encoding": {"y": y, "x": x, "color": colour},
            },
            {
                "data": {"values": [{"limit": 1}]},
                "mark": {"type": "rule", "strokeDash": [4, 3]},
                "encoding": {"x": {**x, "field": "limit"}},
            },
            {"mark": {"type": "text", "align": "right", "fontSize": 14, "fontWeight": "bold"}, "encoding": told},
        ],
    }
    return _svg(spec, width=_WIDE)


def latency(figures: Latency) -> str:
    """How many calls took how long, on a logarithmic scale of time, with the median and the 99th percentile marked."""
    shown = [bin for bin in figures.bins if bin.calls]
    round_figures = [digit * 10.0**power for power in range(-3, 5) for digit in (1, 2, 5)]
    scale = {"type": "log", "nice": False, "domain": [shown[0].above, shown[-1].below]} if shown else {"type": "log"}
    time = _quantity("from", "ms per call", grid=False, format="~g", values=round_figures)
    bars: Spec = {
        "data": {"values": [{"from": bin.above, "to": bin.below, "calls": bin.calls} for bin in shown]},
        "mark": {"type": "bar", "color": "var(--accent)", "binSpacing": 1},
        "encoding": {
            "x": {**time, "bin": {"binned": True}, "scale": scale},
            "x2": {"field": "to"},
            "y": _quantity("calls", "calls", format="~s", tickCount=4),
        },
    }

    def mark(name: str, at: float, align: str, shift: int) -> Spec:
        text = {"type": "text", "align": align, "dx": shift, "y": -6, "fontWeight": "bold"}
        return {
            "data": {"values": [{"at": at, "label": f"{name} {at:.3g} ms"}]},
            "encoding": {"x": {"field": "at", "type": "quantitative"}},
            "layer": [
                {"mark": {"type": "rule", "strokeDash": [4, 3]}},
                {"mark": text, "encoding": {"text": {"field": "label"}}},
            ],
        }

    marks = [mark("p50", figures.p50, "right", -5), mark("p99", figures.p99, "left", 5)]
    return _svg({"height": 220, "layer": [bars, *marks]}, width=_HALF)


_SECONDS: Spec = _quantity("second", "seconds into the loop", grid=False)


def timeline(moments: Sequence[Moment]) -> str:
    """Calls/s over one loop."""
    line = {"color": "var(--accent)", "strokeWidth": 2}
    spec: Spec = {
        "height": 220,
        "data": {"values": [{"second": moment.second, "rate": moment.calls_per_second} for moment in moments]},
        "mark": {
            "type": "area",
            "interpolate": "monotone",
            "color": "var(--accent)",
            "fillOpacity": 0.18,
            "line": line,
        },
        "encoding": {"x": _SECONDS, "y": _quantity("rate", "calls/s", format="~s", tickCount=4)},
    }
    return _svg(spec, width=_HALF)


def limits(moments: Sequence[Moment], names: Sequence[str]) -> str:
    """How many calls at a time each plugin was sent, over one loop."""
    values = [
        {"second": moment.second, "plugin": name, "limit": limit}
        for moment in moments
        for name, limit in zip(names, moment.limits, strict=False)
    ]
    colour = {"scale": {"scheme": "tableau10"}, "legend": {"title": None, "labelColor": "var(--soft)"}}
    spec: Spec = {
        "height": 180,
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": _SECONDS,
            "y": _quantity("limit", "calls at a time", tickCount=4),
            "color": {"field": "plugin", "type": "nominal", "sort": list(names), **colour},
        },
    }
    return _svg(spec, width=_WIDE)


def plugins(rows: Sequence[PluginRow]) -> str:
    """Each plugin's latency: a bar to the median, a thin one on to the 99th percentile. The slow one stands out."""
    values = [
        {"name": row.name, "p50": seen.p50, "p99": seen.p99, "label": f"{seen.p50:.3g} / {seen.p99:.3g} ms"}
        for row in rows
        for seen in (row.latency_ms,)
    ]
    y = _names([row.name for row in rows])
    room = {"domain": [0, max((row.latency_ms.p99 for row in rows), default=1.0) * 1.35 or 1.0]}

    def layer(field: str, mark: Spec, **more: Any) -> Spec:
        x = {**_quantity(field, "ms: median, and on to the 99th percentile", tickCount=5), "scale": room}
        return {"mark": mark, "encoding": {"y": y, "x": x, **more}}

    spec: Spec = {
        "data": {"values": values},
        "height": {"step": _ROW},
        "layer": [
            layer("p99", {"type": "bar", "height": 5, "color": "var(--muted)"}),
            layer("p50", {"type": "bar", "height": 16, "cornerRadiusEnd": 3, "color": "var(--accent)"}),
            layer("p99", {"type": "text", "align": "left", "dx": 6}, text={"field": "label"}),
        ],
    }
    return _svg(spec, width=_HALF)


def scenarios(rows: Sequence[ScenarioRow], field: str, *, digits: str) -> str:
    """One figure of every scenario's median loop; a figure by the call says nothing of loops that hardly call."""
    values = [
        {"name": row.name, "value": getattr(row.loop, field), "ours": True}
        for row in rows
        if row.loop.calls >= row.nodes
    ]
    return _svg(_bars(values, sort=None, digits=digits), width=_HALF)


def micro(rows: Sequence[Micro]) -> str:
    """What the parts of a call cost on their own."""
    values = [{"name": row.name, "value": row.us, "ours": True} for row in rows]
    return _svg(_bars(values, sort=None, digits=".3~g"), width=_WIDE)


def _bars(values: Sequence[Mapping[str, Any]], *, sort: Spec | None, digits: str) -> Spec:
    """Horizontal bars, each with its figure at the end: no axis to read it off is needed."""
    most = max((value["value"] for value in values), default=1.0) or 1.0
    y = _names([value["name"] for value in values], sort)
    x = {"field": "value", "type": "quantitative", "scale": {"domain": [0, most * 1.2]}, "axis": None}
    return {
        "data": {"values": values},
        "height": {"step": _ROW},
        "encoding": {"y": y, "x": x},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 3, "height": 18},
                "encoding": {"color": _either("datum.ours", "var(--accent)", "var(--muted)")},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"text": {"field": "value", "type": "quantitative", "format": digits}},
            },
        ],
    }


def _names(names: Sequence[str], sort: Spec | None = None) -> Spec:
    axis = {"title": None, "ticks": False, "domain": False, "labelLimit": 400, "labelPadding": 8}
    room = _EM * max(map(len, names), default=0)
    return {"field": "name", "type": "nominal", "sort": sort, "axis": {**axis, "minExtent": room}}


def _either(test: str, colour: str, otherwise: str) -> Spec:
    return {"condition": {"test": test, "value": colour}, "value": otherwise}


def _svg(spec: Spec, *, width: int) -> str:
    return vl_convert.vegalite_to_svg({**spec, "width": width, "config": _CONFIG}, vl_version=_VERSION)
