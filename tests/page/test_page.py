"""The page in a browser: what it shows is what there is, for whoever looks, however large and however hostile."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from prometheus_client.parser import text_string_to_metric_families

from engine import Engine, Fleet, PendingExecutor, Recorder, Result
from engine.executors.local import LocalExecutor
from registry import Config, EngineSettings, PluginConfig, Registry
from tests.acceptance.peer import Peer
from tests.page.conftest import Open
from tests.serving.inside import HERE, Document, inside, leaf, workflow

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("browser"),  # of which each takes seconds to start
]

NARROW = {"width": 400, "height": 800}


class _ByTemplate(PendingExecutor):
    """Leaves run until they are reported, but those of templates that are named for the phase they end in."""

    def start(self, workflow: Any, template: Any, node: Any) -> Result | None:
        phase = template["name"].capitalize()
        return Result(phase, "as it was told") if phase in ("Succeeded", "Failed") else None


def dag(*tasks: Document, name: str = "main") -> Document:
    return {"name": name, "dag": {"tasks": list(tasks)}}


def task(name: str, template: str = "work", *after: str, **fields: Any) -> Document:
    return {"name": name, "template": template, "dependencies": list(after), **fields}


async def report(engine: Engine | Fleet, name: str, *nodes: str) -> None:
    handle = engine.find(f"default/{name}")
    assert handle is not None
    for node in [each for each in handle.workflow.nodes.values() if each.display_name in nodes]:
        engine.report(handle.workflow, node.id, Result("Succeeded"))


async def fits(page: Page) -> None:
    """Nothing sticks out sideways."""
    sizes = await page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]


async def test_workflows_are_listed_and_filtered(opened: Open) -> None:
    async with inside(_ByTemplate()) as server:
        await server.submit(workflow("good", leaf("succeeded")))
        await server.submit(workflow("bad", leaf("failed")))
        await server.submit(workflow("under-way", leaf("other")), "nightly")
        page = await opened(server)
        names = page.locator(".list .name")
        await expect(names).to_have_text(["nightly/under-way", "default/bad", "default/good"])
        await expect(page.locator(".list li").nth(1)).to_contain_text("as it was told")
        await expect(page.locator(".list li").nth(2).locator(".progress")).to_have_text("1/1")
        await page.get_by_role("button", name="Failed").click()
        await expect(names).to_have_text(["default/bad"])
        await page.get_by_role("button", name="Failed").click()
        await page.get_by_role("searchbox").fill("NIGHT")
        await expect(names).to_have_text(["nightly/under-way"])
        await server.submit(workflow("another", leaf("other")), "nightly")
        await expect(names).to_have_text(["nightly/another", "nightly/under-way"])
        await server.ask("DELETE", "/api/v1/workflows/nightly/another")
        await expect(names).to_have_text(["nightly/under-way"])


async def test_phases_are_live_to_the_end(opened: Open) -> None:
    two = dag(task("a"), task("b", "work", "a"))
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("live", two, leaf("work")))
        page = await opened(server, "/workflows/default/live")
        unit = page.locator(".unit")
        await expect(unit.filter(has_text="DAG")).to_have_class(re.compile("is-running"))
        await expect(unit).to_have_count(2)
        await report(server.engine, "live", "a")
        await expect(unit).to_have_count(3)
        await expect(unit.nth(1)).to_have_class(re.compile("is-succeeded"))
        await report(server.engine, "live", "b")
        for each in range(3):
            await expect(unit.nth(each)).to_have_class(re.compile("is-succeeded"))
        await expect(page.locator(".facts .badge")).to_contain_text("Succeeded")
        await expect(page.locator(".facts .progress")).to_have_text("2/2")


async def test_a_node_shows_inputs_outputs_and_log(opened: Open, tmp_path: Path) -> None:
    given = {"parameters": [{"name": "greeting", "value": "ahoy <b>"}]}
    work: Document = {
        "name": "work",
        "inputs": {"parameters": [{"name": "greeting"}]},
        "outputs": {"artifacts": [{"name": "file", "path": str(tmp_path / "file")}]},
        "script": {"image": "any", "command": ["sh"], "source": f"echo hello | tee {tmp_path}/file"},
    }
    executor = LocalExecutor(tmp_path / "runs")
    try:
        async with inside(executor) as server:
            await server.submit(workflow("one", dag(task("greet", arguments=given)), work))
            ended = await server.until("one")
            node = next(key for key, each in ended["status"]["nodes"].items() if each["type"] == "Pod")
            page = await opened(server, f"/workflows/default/one?node={node}")
            pane = page.locator("aside")
            await expect(pane.locator("h2")).to_have_text("greet")
            await expect(pane.locator("tr", has_text="greeting")).to_contain_text("ahoy <b>")
            await expect(pane.locator("tr", has_text="result")).to_contain_text("hello")
            await expect(pane.locator(".log")).to_contain_text("hello")
            async with page.expect_download() as coming:
                await pane.get_by_role("link", name="download").click()
            assert await asyncio.to_thread((await (await coming.value).path()).read_text) == "hello\n"
            await page.keyboard.press("Escape")
            await expect(pane).to_be_hidden()
    finally:
        await executor.close(end_leaves=True)


def quantile(share: float, buckets: dict[float, float]) -> float:
    """As Prometheus' histogram_quantile: a line within the bucket where the rank lies."""
    edges = sorted(buckets)
    rank, below, seen = share * buckets[edges[-1]], 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= rank:
            return below if edge == float("inf") else below + (edge - below) * (rank - seen) / (buckets[edge] - seen)
        below, seen = edge, buckets[edge]
    raise AssertionError(buckets)


def read(told: str) -> float:
    """A duration as the page has it, in seconds."""
    value, unit = told.split()
    return float(value) * {"s": 1.0, "ms": 1e-3, "µs": 1e-6}[unit]


async def test_the_figures_of_plugins_are_those_of_metrics(opened: Open) -> None:
    async with AsyncExitStack() as stack:
        peers = {"kind": Peer({"node.preExecute": {}}, None, None), "cross": Peer({"node.preExecute": 500}, None, None)}
        for peer in peers.values():
            await peer.start()
            stack.push_async_callback(peer.stop)
        plugins = [PluginConfig(name=name, address=peer.address) for name, peer in peers.items()]
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=tuple(plugins)))
        server = await stack.enter_async_context(inside(registry=registry))
        page = await opened(server, "/plugins")
        await expect(page.locator(".plugin h2")).to_have_text(["kind", "cross"])
        await server.submit(workflow("one"))
        assert (await server.until("one"))["status"]["phase"] == "Error"
        async with server.session.get(server.url + "/metrics") as response:
            families = {each.name: each for each in text_string_to_metric_families(await response.text())}
        for name in peers:
            here = page.locator(f'[data-plugin="{name}"]')

            def samples(metric: str, plugin: str = name) -> list[Any]:
                return [
                    each
                    for each in families[metric].samples
                    if each.labels["plugin"] == plugin and not each.name.endswith("_created")
                ]

            calls = {each.labels["outcome"]: 0.0 for each in samples("oarlock_plugin_calls")}
            for each in samples("oarlock_plugin_calls"):
                calls[each.labels["outcome"]] += each.value
            errors = sum(count for outcome, count in calls.items() if outcome not in ("answered", "unsupported"))
            await expect(here.locator('[data-figure="calls"] b')).to_have_text(f"{sum(calls.values()):.0f}")
            await expect(here.locator('[data-figure="errors"] b')).to_have_text(f"{errors:.0f}")
            limit, in_flight, waiting = (
                samples(f"oarlock_plugin_requests_{each}")[0].value for each in ("limit", "in_flight", "waiting")
            )
            text = f"{in_flight:.0f}, {waiting:.0f}, {limit:.0f}"
            await expect(here.locator('[data-figure="limit"] b')).to_have_text(text)
            state = next(each.labels["state"] for each in samples("oarlock_plugin_breaker_state") if each.value)
            await expect(here.locator(".badge")).to_have_text(f"breaker {state}")
            for which in ("waited", "travelled"):
                buckets: dict[float, float] = {}
                for each in samples(f"oarlock_plugin_request_{which}_seconds"):
                    if each.name.endswith("_bucket"):
                        edge = float(each.labels["le"])
                        buckets[edge] = buckets.get(edge, 0.0) + each.value
                shown = await here.locator(f'[data-figure="{which}"] b').all_inner_texts()
                assert [read(each) for each in shown] == pytest.approx(
                    [quantile(0.5, buckets), quantile(0.99, buckets)], rel=0.006
                )
            await expect(here.locator(".spark")).to_have_count(5)
        counted = await page.evaluate(
            "import('/page/dom.js').then(({ counted }) => [0, 1, 2].map((n) => counted(n, 'time')))"
        )
        assert counted == ["0 times", "1 time", "2 times"]


async def test_of_a_fleet_a_plugin_has_a_row_for_each_shard(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.serving.inside.sharded", True)
    async with AsyncExitStack() as stack:
        peer = Peer({"node.preExecute": {}}, None, None)
        await peer.start()
        stack.push_async_callback(peer.stop)
        plugins = (PluginConfig(name="kind", address=peer.address),)
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=plugins))
        server = await stack.enter_async_context(inside(registry=registry))
        await server.submit(workflow("one"))
        await server.until("one")
        page = await opened(server, "/plugins")
        here = page.locator('[data-plugin="kind"]')
        await expect(here.locator(".badge")).to_have_text("breaker closed")
        await here.get_by_text("By shard").click()
        rows = here.locator("tr[data-shard]")
        await expect(rows.locator("th")).to_have_text(["0", "1"])
        for number in range(2):
            await expect(rows.nth(number).locator("td")).to_have_text(["closed", "0", "0", re.compile(r"^[1-9]\d*$")])
        await expect(rows.first).to_be_visible()


async def test_the_story_of_a_node_says_who_set_it_to_failed(opened: Open) -> None:
    def strict(args: Document) -> Document:
        return {"node": {"phase": "Failed", "message": "<b>no</b>"}} if args["node"]["displayName"] == "b" else {}

    async with AsyncExitStack() as stack:
        peers = {
            "kind": Peer({"node.preExecute": {}}, None, None),
            "strict": Peer({"node.preExecute": strict}, None, None),
        }
        for peer in peers.values():
            await peer.start()
            stack.push_async_callback(peer.stop)
        plugins = [PluginConfig(name=name, address=peer.address) for name, peer in peers.items()]
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=tuple(plugins)))
        server = await stack.enter_async_context(inside(registry=registry, recorder=Recorder()))
        await server.submit(workflow("one", dag(task("a"), task("b")), leaf("work")))
        page = await opened(server, "/workflows/default/one")
        await page.locator(".unit.is-failed").filter(has_text="b").click()
        story = page.locator(".story li")
        await expect(story).to_contain_text(["strict was asked node.preExecute and answered"])
        await expect(story.locator(".change")).to_have_text(["phase: Pending → Failed", "message: <b>no</b>"])
        await page.locator(".unit.is-succeeded").click()
        await expect(page.locator("aside")).to_contain_text(
            "No plugin had anything to say to it since the server began."
        )


async def test_what_is_in_names_is_text(opened: Open) -> None:
    items = ["<img src=x onerror=alert(1)>", "\x1b[31mred\u202e", "<script>alert(2)</script>"]
    work = {**leaf("work"), "inputs": {"parameters": [{"name": "x"}]}}
    looped = task("loop", arguments={"parameters": [{"name": "x", "value": "{{item}}"}]}, withItems=items)
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("odd", dag(looped), work))
        page = await opened(server, "/workflows/default/odd?view=list")
        names = page.locator(".list .name")
        await expect(names.filter(has_text="(0:")).to_have_text("loop(0:<img src=x onerror=alert1>)")
        await names.filter(has_text="(1:").click()
        await expect(page.locator("aside td")).to_have_text("\\x1b[31mred\\u202e")
        await names.filter(has_text="(2:").click()
        await expect(page.locator("aside td")).to_have_text(items[2])
        await page.get_by_role("link", name="Graph").click()
        await expect(page.locator(".unit")).to_have_count(5)
        assert await page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_for_narrow_windows_light_and_dark(opened: Open, scheme: Any) -> None:
    plugins = (PluginConfig(name="a-plugin" * 12, address="http://localhost:1", failure_policy="ignore"),)
    registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=plugins))
    async with inside(PendingExecutor(), registry=registry) as server:
        await server.submit(workflow("w" * 60, dag(*(task(f"{'t' * 50}{each}") for each in range(3))), leaf("work")))
        page = await opened(server, viewport=NARROW, color_scheme=scheme)
        await expect(page.locator(".list li")).to_have_count(1)
        await fits(page)
        await page.locator(".list a").click()
        await expect(page.locator(".unit")).not_to_have_count(0)
        await fits(page)
        await page.get_by_role("link", name="List").click()
        await page.locator(".list a").nth(1).click()
        await expect(page.locator("aside dt").first).to_be_visible()
        await fits(page)
        await page.get_by_role("link", name="Plugins").click()
        await expect(page.locator(".plugin")).to_have_count(1)
        await fits(page)
        sum_of = "getComputedStyle(document.body)[each].match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0)"
        ground, ink = await page.evaluate(f"['backgroundColor', 'color'].map((each) => {sum_of})")
        assert (ground < ink) == (scheme == "dark")


async def test_the_keyboard_is_enough(opened: Open) -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one", dag(task("a"), task("b")), leaf("work")))
        page = await opened(server)
        link = page.locator(".list a")
        await expect(link).to_have_count(1)

        async def tab_to(what: str) -> None:
            for _ in range(30):
                await page.keyboard.press("Tab")
                if await page.evaluate(f"document.activeElement.matches({what!r})"):
                    return
            raise AssertionError(f"the tabulator does not come to {what}")

        await tab_to(".list a")
        await page.keyboard.press("Enter")
        await expect(page.locator(".unit")).to_have_count(3)
        await tab_to(".graph")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowDown")
        await expect(page.locator(".picture [role=status]")).to_have_text("b, Pod, Running")
        await page.keyboard.press("Enter")
        await expect(page.locator("aside h2")).to_have_text("b")
        await page.keyboard.press("Escape")
        await expect(page.locator("aside")).to_be_hidden()
        assert await page.evaluate("document.activeElement.matches('.graph')")


async def test_ten_thousand_nodes_are_a_picture_of_a_few(opened: Open) -> None:
    many = dag(
        task("first"),
        task("loop", "work", "first", withSequence={"count": "9000"}),
        task("pairs", "pair", "first", withSequence={"count": "400"}),
        task("last", "work", "loop", "pairs"),
    )
    pair = dag(task("a"), task("b", "work", "a"), name="pair")
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("large", many, pair, leaf("work")))
        page = await opened(server, "/workflows/default/large")
        await expect(page.locator(".unit")).to_have_count(2)
        await report(server.engine, "large", "first")
        await expect(page.locator(".unit").filter(has_text="× 9\u202f000")).to_have_count(1)
        await expect(page.locator(".unit").filter(has_text="× 400")).to_have_count(1)
        await expect(page.locator(".unit")).to_have_count(6)  # with the root, and the two loops as nodes
        await page.locator(".unit").filter(has_text="× 9\u202f000").click()
        await expect(page.locator("aside .list li")).to_have_count(100)
        await page.get_by_role("searchbox").last.fill("loop(8999:")
        await page.locator("aside .list a").click()
        await expect(page.locator("aside h2")).to_have_text("loop(8999:8999)")
        await expect(page.locator(".chosen")).to_have_count(1)
        assert await page.locator("*").count() < 500


async def test_what_is_in_the_turns_of_a_loop_and_after_them_is_grouped_with_them(opened: Open) -> None:
    loop = task("loop", "twice", withSequence={"count": "13"}, hooks={"exit": {"template": "work"}})
    nested = task("nested", "pair", withSequence={"count": "13"})
    twice = {**leaf("twice"), "retryStrategy": {"limit": "1"}}
    pair = dag(task("a"), task("b", "work", "a"), name="pair")
    async with inside() as server:
        await server.submit(workflow("one", dag(loop, nested), twice, pair, leaf("work")))
        nodes = (await server.until("one"))["status"]["nodes"]
        assert len(nodes) > 13 * 6
        page = await opened(server, "/workflows/default/one")
        labels = page.locator(".unit .label")
        alike = ["loop × 13", "loop.onExit × 13", "nested × 13"]
        for each in alike:
            await expect(labels.filter(has_text=re.compile(f"^{re.escape(each)}$"))).to_have_count(1)
        shown = await labels.all_text_contents()
        # the hook of the loop as a whole is a node of its own
        assert sorted(shown) == sorted([*alike, "one", "loop", "loop.onExit", "nested"])
        await page.locator(".unit").filter(has_text="nested × 13").click()
        await page.locator("aside .list a").first.click()
        await page.get_by_role("link", name="Show only what is inside").click()
        await expect(labels).to_have_text(["nested(0:0)", "a", "b"])
        await page.get_by_role("link", name="show the whole workflow").click()
        await expect(labels).to_have_count(len(shown))


async def test_the_token_is_asked_for_and_kept_for_the_tab(opened: Open) -> None:
    async with inside(PendingExecutor(), listening=HERE._replace(token="secret", loopback=False)) as server:
        page = await opened(server)
        field = page.get_by_label("Token", exact=True).and_(page.locator("input"))
        await field.fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-why")).to_have_text("That is not the token of this server.")
        await field.fill("secret")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text("There are no workflows yet.")
        await page.reload()
        await expect(page.locator("main")).to_contain_text("There are no workflows yet.")
        await expect(page.locator("dialog")).to_be_hidden()
