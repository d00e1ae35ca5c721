"""The page: one HTML file with everything in it, to be looked at rather than read."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bench import charts
from bench.record import Record, typical


def write(record: Record, file: Path) -> None:
    """Write the page for `record`."""
    file.write_text(render(record), encoding="utf-8")


def render(record: Record) -> str:
    """The page for `record`, which names no other file and no other host."""
    environment = Environment(
        loader=PackageLoader("bench", "."),
        autoescape=select_autoescape(("j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        record=record,
        typical=typical(record.loops) if record.loops else None,
        pictures={name: Markup(svg) for name, svg in _pictures(record).items()},
    )


def _pictures(record: Record) -> dict[str, str]:
    """The pictures for which there are figures."""
    drawn: dict[str, str] = {}
    if record.peers:
        drawn["peer_speed"] = charts.peers(record.peers, "calls_per_second", digits=",.0f", best="highest")
        drawn["peer_cpu"] = charts.peers(record.peers, "cpu_us_per_call", digits=".1f", best="lowest")
    if record.bars:
        drawn["bars"] = charts.bars(record.bars)
    if record.latency_ms.bins:
        drawn["latency"] = charts.latency(record.latency_ms)
    if len(record.timeline) > 1:
        drawn["timeline"] = charts.timeline(record.timeline)
        if all(moment.limits for moment in record.timeline):
            drawn["limits"] = charts.limits(record.timeline, [plugin.name for plugin in record.per_plugin])
    if record.per_plugin:
        drawn["plugins"] = charts.plugins(record.per_plugin)
    if record.scenarios:
        drawn["scenario_speed"] = charts.scenarios(record.scenarios, "calls_per_second", digits=",.0f")
        drawn["scenario_cpu"] = charts.scenarios(record.scenarios, "cpu_us_per_call", digits=".1f")
    if record.micro:
        drawn["micro"] = charts.micro(record.micro)
    return drawn
