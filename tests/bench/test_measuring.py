from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import measuring, processes, rounds
from bench.engine_process import EngineFailed, engine_process
from bench.lanes import lanes
from bench.measuring import Figures, Plan, engaged, figures, loop, measure
from bench.messages import Load, Progress
from bench.peers import Failed, Peer
from bench.peers.window import Outcome, Task
from bench.running import Run, Wish
from bench.scenarios import ODD_ONES, SCENARIOS
from bench.servers import Nginx, PluginServers
from rpc.methods import BATCHES, SPELLINGS, Method

NODES = 200
PLUGINS = 2
SINGLE = SCENARIOS["single"]
PLAN = Plan(plugins=PLUGINS)
CALLS = (NODES + 1) * PLUGINS  # the node of the steps themselves is a node too

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


two_loops = pytest.mark.xdist_group("two loops")
"""What looks at the same two, which are measured once: all of it goes to one worker."""


@pytest.fixture(scope="module")
def done() -> Figures:
    """Two loops."""
    return measure("single", SINGLE, NODES, "plugins", 2, PLAN)


@two_loops
def test_every_call_of_every_loop_is_counted_at_the_plugins(done: Figures) -> None:
    assert [each.loop.calls for each in done.loops] == [CALLS, CALLS]
    assert [each.loop.errors for each in done.loops] == [0, 0]
    assert [plugin.calls for plugin in done.plugins] == [NODES + 1] * PLUGINS
    for plugin in done.plugins:
        assert plugin.lane == "wire"
        # What a plugin does not have, it is asked for once in each spelling; it counts only what it has.
        assert plugin.served is not None
        assert 0 <= plugin.sent - plugin.served <= (len(Method) + len(BATCHES)) * len(SPELLINGS)


@needs_nginx
def test_plugins_are_called_by_https_where_that_is_asked_for() -> None:
    done = measure("batched", SCENARIOS["batched"], NODES, "plugins", 1, PLAN._replace(tls=True))
    assert [each.loop.errors for each in done.loops] == [0]
    assert done.loops[0].loop.calls == CALLS
    for plugin in done.plugins:
        assert plugin.address.startswith("https://127.0.0.1:")
        assert plugin.served, "it stands behind nginx, and counts"


@needs_nginx
def test_lanes_are_measured_with_tls_and_without() -> None:
    rows = lanes(300, 4, 1, PLAN)
    assert [row.name.partition(",")[2] for row in rows] == [
        *(" wire lane", " wire lane, TLS", " aiohttp lane", " aiohttp lane, TLS"),
        *(" wire lane, TLS resumed", " wire lane, TLS in full"),
    ]
    assert not [row.about for row in rows if "failed" in row.about]
    assert all(row.us > 0 for row in rows)


@two_loops
def test_only_the_last_loop_is_observed_and_knows_its_latencies(done: Figures) -> None:
    first, last = done.loops
    assert first.latency_ms is None
    assert first.loop.outside_calling is None
    assert last.loop.outside_calling is not None
    assert 0 <= last.loop.outside_calling < 1
    assert sum(bin.calls for bin in done.latency.bins) == CALLS
    assert 0 < done.latency.p50 <= done.latency.p99 <= done.latency.max


@needs_nginx
def test_the_servers_count_agrees_with_the_engines() -> None:
    with engaged(SINGLE, NODES, "nginx", PLAN) as subject:
        assert isinstance(subject.server, Nginx)
        before = subject.server.requests()
        measured = loop(subject, "", False, PLAN)
        assert subject.server.requests() - before - 1 == measured.loop.calls == CALLS
        assert '"node":{"id":"fan-out-' in subject.engine.ready.body


@pytest.mark.parametrize("name", ["numbered", "patch", "body-4k"])
def test_a_scenario_sends_each_node_through_each_plugin(name: str) -> None:
    done = measure(name, SCENARIOS[name], NODES, "plugins", 1, PLAN)
    (only,) = done.loops
    assert (only.loop.calls, only.loop.errors) == (CALLS, 0)
    if name == "body-4k":
        assert 4096 < done.request_bytes < 4096 + 1000


def test_all_six_methods_are_called_for_each_leaf_and_the_first_plugin_executes_it() -> None:
    done = measure("six", SCENARIOS["six"], NODES, "plugins", 1, PLAN)
    (only,) = done.loops
    each_leaf = 3 * PLUGINS + 1
    around = only.loop.calls - NODES * each_leaf  # the workflow's own hooks, and the node of the steps
    assert only.loop.errors == 0
    assert 0 < around < 20 * PLUGINS
    assert done.plugins[0].calls - done.plugins[1].calls == NODES
    # One request finds out what the plugin does not have: the answer names what it has.
    assert [plugin.sent - 1 for plugin in done.plugins] == [plugin.served for plugin in done.plugins]


def test_a_slow_plugin_is_seen_to_be_slow() -> None:
    done = measure("slow", SCENARIOS["slow"], 50, "plugins", 1, Plan(plugins=3))
    assert done.plugins[2].latency_ms.p50 >= 20
    assert max(plugin.latency_ms.p50 for plugin in done.plugins) == done.plugins[2].latency_ms.p50


def test_a_plugin_whose_plug_is_pulled_costs_errors_and_not_the_loop() -> None:
    with engaged(SINGLE, NODES, "plugins", PLAN) as subject:
        assert isinstance(subject.server, PluginServers)
        processes.stop(subject.server.processes[1])
        measured = loop(subject, "", True, PLAN)
        assert measured.loop.aborted is None
        done = figures(subject, [measured])
    assert [plugin.errors > 0 for plugin in done.plugins] == [False, True]
    assert sum(done.plugins[1].failures.values()) >= NODES
    assert done.plugins[0].calls == NODES + 1
    assert done.plugins[1].served is None or done.plugins[1].served < NODES * 2 + 1500


def test_somebody_who_watches_is_told_how_far_it_is() -> None:
    told: list[tuple[str, int, Progress | None]] = []
    plan = Plan(plugins=1, workers=1, watch=lambda doing, nodes, progress: told.append((doing, nodes, progress)))
    measure("latency-20", SCENARIOS["latency-20"], 20, "plugins", 1, plan)
    assert [doing for doing, _, progress in told if progress is None] == ["loading the graph", "latency-20, loop 1"]
    seen = [progress for _, _, progress in told if progress is not None]
    assert seen
    assert all(0 <= progress.nodes <= 20 for progress in seen)
    assert [progress.calls for progress in seen] == sorted(progress.calls for progress in seen)


def test_a_configuration_that_is_wrong_is_the_engines_last_word(tmp_path: Path) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text("[engine]\nenable = true\n")
    with pytest.raises(EngineFailed, match=r"plugins\.toml"), engine_process(Load(nodes=1, config=str(config))):
        pass


def test_an_engine_that_dies_is_told_of_and_not_waited_for() -> None:
    with engaged(SINGLE, NODES, "plugins", Plan(plugins=1)) as subject:
        subject.engine._process.kill()
        with pytest.raises(EngineFailed, match="ended"):
            subject.engine.loop(observe=False)


@needs_nginx
def test_peers_take_turns_and_one_that_fails_is_out() -> None:
    turns: list[str] = []

    def good(task: Task) -> Outcome:
        turns.append("good")
        assert task.calls == NODES * PLUGINS
        assert task.body.startswith('{"workflow":')
        return Outcome(calls=task.calls, seconds=1.0, cpu_seconds=0.5)

    def bad(task: Task) -> Outcome:
        turns.append("bad")
        raise Failed("it gave up")

    with engaged(SINGLE, NODES, "nginx", PLAN) as subject:
        assert isinstance(subject.server, Nginx)
        compared = rounds.against_peers(subject, subject.server, [Peer("good", good), Peer("bad", bad)], 8, 2, PLAN)
    assert turns == ["good", "bad", "good"]
    assert compared.missing == {"bad": "it gave up"}
    assert {row.name: [each.calls for each in row.rounds] for row in compared.rows} == {
        "oarlock": [CALLS, CALLS],
        "good": [NODES * PLUGINS] * 2,
    }
    ours = compared.rows[0]
    assert [each.served for each in ours.rounds] == [CALLS, CALLS]
    assert compared.rows[1].cpu_us_per_call == pytest.approx(500_000 / (NODES * PLUGINS))


@needs_nginx
def test_plugins_beside_others_that_are_not_like_them_are_compared_on_one_server() -> None:
    wish = Wish(scenarios=("single", "mixed"), nodes=NODES, rounds=2)
    done = Run(wish, Plan()).record()
    assert [(row.name, row.loop.calls) for row in done.scenarios] == [
        ("single", (NODES + 1) * 5),
        ("mixed", (NODES + 1) * 5 - 1),  # one plugin does not want the node of the steps
    ]
    assert {row.server.split()[0] for row in done.scenarios} == {"nginx"}
    assert [bar.name for bar in done.bars] == ["CPU per call of three plugins beside two that want more"]


def test_the_odd_plugins_by_themselves_are_sent_what_they_are_sent_among_the_others() -> None:
    both = [
        measure("", scenario, NODES, "plugins", 1, Plan(plugins=plugins)).plugins
        for scenario, plugins in ((SCENARIOS["mixed"], 5), (ODD_ONES, 2))
    ]
    (_, second, _, fourth, _), alone = both
    assert [plugin.calls for plugin in alone] == [second.calls, fourth.calls] == [NODES + 1, NODES]


@needs_nginx
def test_graphs_of_two_sizes_take_turns() -> None:
    with engaged(SINGLE, 20, "nginx", PLAN) as few, engaged(SINGLE, 400, "nginx", PLAN) as many:
        small, large = rounds.in_turns(few, many, 2, PLAN)
    assert [each.calls for each in small] == [2 * 21 * PLUGINS] * 2
    assert [each.calls for each in large] == [401 * PLUGINS] * 2


def test_the_timeline_is_that_of_the_loop_that_stands_for_all() -> None:
    assert measuring.NOTHING.timeline == []
    assert measuring.NOTHING.latency.max == 0
