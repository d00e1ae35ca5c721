"""What an engine has done is there for Prometheus to read: counted once, bounded labels, zero before it happens."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from engine import Engine, MemoryStore
from engine.metrics import EngineCollector
from registry import Registry
from registry.config import Config, EngineSettings, PluginConfig, RetrySettings
from rpc import Method, Outcome
from tests.acceptance.manifests import container, workflow

_DOCS: Final = Path(__file__).parents[2] / "docs"
_PRE: Final = Method.NODE_PRE_EXECUTE


class Scrape:
    """What Prometheus is told of an engine."""

    def __init__(self, engine: Engine) -> None:
        registry = CollectorRegistry()
        registry.register(EngineCollector(engine))
        self.text = generate_latest(registry)
        self.families = {each.name: each for each in text_string_to_metric_families(self.text.decode())}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[f"oarlock_{name}", frozenset(labels.items())]

    def by(self, name: str, label: str, **labels: str) -> Mapping[str, float]:
        """Those that are not zero, by one label."""
        found: dict[str, float] = {}
        for (sample, given), value in self.samples.items():
            of = dict(given)
            if sample == f"oarlock_{name}" and value and labels.items() <= of.items():
                found[of[label]] = found.get(of[label], 0.0) + value
        return found


def _engine_of(*names: str) -> Engine:
    plugins = tuple(PluginConfig(name=name, address="http://localhost:1") for name in names)
    return Engine(Registry(Config(engine=EngineSettings(enabled=True), plugins=plugins)))


async def test_calls_are_there_by_plugin_method_and_outcome_and_zero_before_the_first(plugin: Any, engine: Any) -> None:
    one = await engine(await plugin({"node.preExecute": {}}))
    before = Scrape(one)
    for method in Method:
        for outcome in Outcome:
            assert before("plugin_calls_total", plugin="plugin-1", method=method, outcome=outcome) == 0
    await one.run([workflow(container("leaf"))])
    scrape = Scrape(one)
    stats = one.registry.snapshot()[0].client.stats
    assert scrape.by("plugin_calls_total", "outcome") == {key: n for key, n in stats.outcomes.items() if n}
    assert set(scrape.by("plugin_calls_total", "method", outcome="answered")) == {_PRE}
    assert sum(scrape.by("plugin_calls_total", "outcome").values()) == stats.attempts


async def test_what_fails_is_counted_under_its_outcome(plugin: Any, engine: Any) -> None:
    busy, wrong = await plugin({"workflow.preOperate": 503}), await plugin({"node.preExecute": 500})
    one = await engine((busy, {"retry": RetrySettings(attempts=1), "failure_policy": "ignore"}), wrong)
    await one.run([workflow(container("leaf"))])
    scrape = Scrape(one)
    begin = Method.WORKFLOW_PRE_OPERATE
    assert scrape("plugin_calls_total", plugin="plugin-1", method=begin, outcome="busy") > 0
    assert scrape("plugin_calls_total", plugin="plugin-2", method=_PRE, outcome="bad_status") > 0
    assert scrape("plugin_failures_passed_over_total") > 0
    for at, plugin_ in enumerate(one.registry.snapshot(), 1):
        told = scrape.by("plugin_calls_total", "outcome", plugin=f"plugin-{at}")
        assert told == {key: n for key, n in plugin_.client.stats.outcomes.items() if n}


async def test_each_request_is_in_the_histograms(plugin: Any, engine: Any) -> None:
    one = await engine(await plugin({"node.preExecute": {}}))
    await asyncio.gather(*(one.registry.snapshot()[0].client.call(_PRE, {}) for _ in range(500)))
    scrape = Scrape(one)
    for what in ("waited", "travelled"):
        name = f"plugin_request_{what}_seconds"
        assert scrape(f"{name}_count", plugin="plugin-1", method=_PRE) >= 500
        assert scrape.by(f"{name}_count", "plugin", method=_PRE) == scrape.by(
            f"{name}_bucket", "plugin", method=_PRE, le="+Inf"
        )
        assert scrape(f"{name}_sum", plugin="plugin-1", method=_PRE) > 0


async def test_passes_nodes_leaves_and_commits_are_counted(engine: Any) -> None:
    store = MemoryStore()
    async with Engine(store=store) as one:
        await one.run([workflow(container("leaf"))])
        scrape = Scrape(one)
        assert scrape("pass_duration_seconds_count", result="committed") == one.stats.passes > 0
        assert scrape("pass_duration_seconds_sum", result="committed") > 0
        assert scrape("pass_duration_seconds_count", result="aborted") == 0
        assert scrape("pass_nodes_visited_total") == one.stats.nodes_visited > 0
        assert scrape("workflows_finished_total", phase="Succeeded") == 1
        assert scrape("leaves_started_total") == one.stats.leaves_started == 1
        assert scrape("store_commits_total") == one.stats.writes > 0
        assert scrape("loop_turn_duration_seconds_count") > 0
        assert scrape("queue_workflows") == scrape("queue_oldest_seconds") == 0


async def test_an_aborted_pass_and_a_cancelled_one_are_told_apart(plugin: Any, engine: Any) -> None:
    one = await engine((await plugin({"workflow.preOperate": 503}), {"retry": RetrySettings(attempts=1)}))
    subject = workflow(container("leaf"))
    await one.reconcile(subject)
    assert Scrape(one).by("pass_duration_seconds_count", "result") == {"aborted": 1}
    passing = asyncio.create_task(one.reconcile(subject))
    await asyncio.sleep(0)
    passing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await passing
    assert Scrape(one).by("pass_duration_seconds_count", "result") == {"aborted": 1, "cancelled": 1}


async def test_workflows_and_nodes_under_way_are_there_by_phase() -> None:
    async with Engine() as one:
        one.submit(workflow(container("leaf")))
        scrape = Scrape(one)
        assert scrape("workflows", phase="Pending") == scrape("queue_workflows") == 1
        assert scrape("queue_oldest_seconds") > 0
        subject = workflow(container("leaf"), name="other")
        await one.reconcile(subject)
        scrape = Scrape(one)
        assert scrape.by("workflows", "phase") == {"Pending": 1, "Running": 1}
        assert sum(scrape.by("nodes", "phase").values()) == len(subject.nodes)
        assert scrape("nodes", phase="Omitted") == 0


@pytest.mark.parametrize("name", ["x" * 500, "lone surrogate \ud800", "\u202eevil", "two\nlines"])
def test_a_plugin_of_any_name_that_may_be_is_a_label(name: str) -> None:
    try:
        one = _engine_of(name)
    except ValueError:
        pytest.skip("no plugin may be called so")
    scrape = Scrape(one)
    assert scrape("plugins") == 0  # nobody has opened them


async def test_odd_names_of_plugins_come_through_unharmed() -> None:
    names = ('with "quotes"', "back\\slash", "ünïcode 漢字", "{a=1,b}")
    async with _engine_of(*names) as one:
        scrape = Scrape(one)
        assert [scrape("plugin_requests_limit", plugin=name) for name in names] == [4] * len(names)
        assert scrape("plugin_breaker_state", plugin=names[0], state="closed") == 1
        _promtool("check", "metrics", given=scrape.text)


async def test_labels_do_not_grow_with_workflows(plugin: Any, engine: Any) -> None:
    one = await engine(await plugin({"node.preExecute": {"node": {"phase": "Succeeded", "message": "m"}}}))
    await one.run([workflow(container("leaf"))])
    before = Scrape(one).samples.keys()
    await one.run([workflow(container("other"), name=f"w-{number}") for number in range(20)])
    assert Scrape(one).samples.keys() == before


async def test_a_server_in_another_thread_may_read_them(plugin: Any, engine: Any) -> None:
    one = await engine(await plugin({"node.preExecute": {}}))
    running = asyncio.create_task(one.run([workflow(container("leaf"), name=f"w-{number}") for number in range(50)]))
    while not running.done():
        await asyncio.to_thread(Scrape, one)
    await running
    assert Scrape(one)("workflows_finished_total", phase="Succeeded") == 50


def test_an_engine_without_plugins_has_metrics_too() -> None:
    assert not [name for name in Scrape(Engine()).families if name.startswith("oarlock_plugin_calls")]


# The files


def _told() -> set[str]:
    return set(re.findall(r"^\| `(oarlock_\w+)`", (_DOCS / "metrics.md").read_text(), re.MULTILINE))


async def test_the_table_names_each_metric_and_no_other() -> None:
    async with _engine_of("p") as one:
        families = Scrape(one).families.values()
        names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
        assert _told() == names | {"oarlock_shard_workflows"}, "which only a fleet has"


async def test_the_dashboard_and_the_alerts_name_what_there_is() -> None:
    async with _engine_of("p") as one:
        scrape = Scrape(one)
    there = {name for name, _ in scrape.samples}
    there |= {
        f"{name}_{part}"
        for name, family in scrape.families.items()
        for part in ("bucket", "count", "sum")
        if family.type == "histogram"
    }
    dashboard = json.loads((_DOCS / "metrics/dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    shown += [each["definition"] for each in dashboard["templating"]["list"] if "definition" in each]
    rules = yaml.safe_load((_DOCS / "metrics/alerts.yaml").read_text())["groups"][0]["rules"]
    for expression in (*shown, *(rule["expr"] for rule in rules)):
        named = set(re.findall(r"\boarlock_\w+", expression))
        assert named or "process_" in expression
        assert named <= there, expression
        for labels in re.findall(r"\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= {
                "job",
                "plugin",
                "outcome",
                "result",
                "state",
            }


@pytest.mark.parametrize("check", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_the_alerts_are_good_and_fire_when_they_should(check: tuple[str, str, str]) -> None:
    _promtool(*check)


async def test_promtool_has_nothing_to_say(plugin: Any, engine: Any) -> None:
    one = await engine(await plugin({"node.preExecute": {}}))
    await one.run([workflow(container("leaf"))])
    _promtool("check", "metrics", given=Scrape(one).text)


def _promtool(*arguments: str, given: bytes = b"") -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: it is in Debian's prometheus package")
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, cwd=_DOCS / "metrics", check=False
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stdout + done.stderr
