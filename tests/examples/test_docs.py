"""The documents say what is so: every key, method and reply that they show is checked against the code."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml

from engine import Engine, Workflow
from engine.verifying.checks import CHECKS
from engine.verifying.findings import KINDS
from registry import (
    BatchSettings,
    BreakerSettings,
    Config,
    EngineSettings,
    KubernetesSettings,
    MatchSettings,
    PluginConfig,
    Registry,
    RetrySettings,
    load_config,
)
from rpc.durations import parse_duration
from rpc.examples import example_of, examples
from rpc.methods import BATCHES, PATHS, SPELLINGS, Method, path
from rpc.plugin import Plugin
from rpc.replies import NodeResult, decode
from tests.acceptance.manifests import workflow
from tests.examples.conftest import ROOT, Checkout

CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
BATCHES_PAGE = (ROOT / "docs/batches.md").read_text()


def sections(text: str, level: int) -> dict[str, str]:
    """What stands under each heading of a level, up to the next of that level or above, by the heading's text."""
    parts = re.split(rf"(?m)^(#{{1,{level}}}) (.+)$", text)
    found = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return {heading.strip("`"): body for hashes, heading, body in found if len(hashes) == level}


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("[engine]", EngineSettings),
        ("[kubernetes]", KubernetesSettings),
        ("[[plugins]]", PluginConfig),
        ("match", MatchSettings),
        ("batch", BatchSettings),
        ("retry", RetrySettings),
        ("breaker", BreakerSettings),
    ],
)
def test_the_configuration_lists_every_key_with_its_default(heading: str, settings: type[msgspec.Struct]) -> None:
    told = {key.strip("`"): default for key, default, _ in rows(sections(CONFIGURATION, 2)[heading])}
    fields = {field.encode_name: field for field in msgspec.structs.fields(settings)}
    assert told.keys() == fields.keys()
    for key, default in told.items():
        factory = fields[key].default_factory
        actual = fields[key].default if factory is msgspec.NODEFAULT else factory()
        if default == "required":
            assert actual is msgspec.NODEFAULT
        elif default == "none":
            assert actual is None
        elif default in ("`{}`", "`[]`"):
            assert actual == type(actual)()
        else:
            value = tomllib.loads(f"value = {default.strip('`')}")["value"]
            assert (parse_duration(value) if isinstance(actual, float) and isinstance(value, str) else value) == actual


def test_the_only_other_key_is_configmaps(tmp_path: Path) -> None:
    ((key, default, _),) = rows(sections(CONFIGURATION, 2)["Top level"])
    assert (key, default) == ("`configmaps`", "`[]`")
    file = tmp_path / "plugins.toml"
    file.write_text("other = 1\n")
    with pytest.raises(Exception, match="expected one of engine, plugins, configmaps"):
        load_config(file)


def test_the_example_configuration_can_be_loaded(tmp_path: Path) -> None:
    (text,) = fenced(CONFIGURATION, "toml")
    (manifest,) = fenced(CONFIGURATION, "yaml")
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "hello.yaml").write_text(manifest)
    file = tmp_path / "plugins.toml"
    file.write_text(text)
    config = load_config(file)
    assert [plugin.name for plugin in config.plugins] == ["hello", "audit", "hello-controller-plugin"]
    assert config.plugins[2].timeout == 0.5


def test_the_protocol_lists_every_path() -> None:
    told = {
        row[0].strip("`"): [cell.strip("`") for cell in row[1:]] for row in rows(sections(PROTOCOL, 2)["Spellings"])
    }
    assert told == {method: [path(method, spelling) for spelling in SPELLINGS] for method in Method}
    batches = {f"{each}.batch" for method in BATCHES for each in told[method]}
    assert {each for paths in told.values() for each in paths} | batches == PATHS.keys()


def test_the_protocol_lists_every_key_of_a_node_result() -> None:
    told = {key.strip("`") for key, _ in rows(sections(PROTOCOL, 2)["What may be replied"])}
    assert told == set(NodeResult.__struct_fields__) - {"id", "name"}


@pytest.mark.parametrize("method", list(Method))
def test_the_replies_that_the_protocol_shows_are_replies(method: Method) -> None:
    for reply in example_of(method).replies:
        assert not decode(method, orjson.dumps(reply))[1], "no unknown field"


@pytest.mark.parametrize("name", examples().keys())
def test_the_documents_show_the_examples_that_plugins_are_tried_with(name: str) -> None:
    shown = fenced(BATCHES_PAGE, "json") if name.endswith(".batch") else fenced(sections(PROTOCOL, 3)[name], "json")
    example = examples()[name]
    assert [orjson.loads(each) for each in shown] == [example.arguments, *example.replies]


def test_every_method_has_an_example() -> None:
    assert {name for name in examples() if not name.endswith(".batch")} == set(Method)


async def test_the_arguments_that_the_protocol_shows_are_those_that_are_sent() -> None:
    sent: dict[str, dict[str, object]] = {}
    plugin = Plugin("listener")

    def listen_to(method: Method) -> None:
        @plugin.on(method)
        def listen(args: dict[str, Any]) -> dict[str, Any] | None:
            sent.setdefault(method, args)
            phase = "Running" if args.get("template", {}).get("name") == "endless" else "Succeeded"
            return {"node": {"phase": phase}} if method is Method.TEMPLATE_EXECUTE else None

    for method in Method:
        listen_to(method)
    work = Workflow(yaml.safe_load((ROOT / "examples/greeting.yaml").read_text().replace("{{hello}}", "hello")))
    async with plugin.serve() as address:
        listener = PluginConfig(name="listener", address=address)
        config = Config(engine=EngineSettings(enabled=True), plugins=(listener,))
        async with Engine(Registry(config)) as engine:
            await engine.run([work])
            endless = workflow({"name": "endless", "plugin": {"slack": {}}})
            await engine.reconcile(endless)
            engine.terminate(endless)
            await engine.run([endless])
    assert work.phase == "Succeeded"
    for name, arguments in sent.items():
        assert_part_of(examples()[name].arguments, arguments, name)
    assert sections(PROTOCOL, 3).keys() == sent.keys()


def assert_part_of(shown: dict[str, Any], sent: dict[str, Any], where: str) -> None:
    """Every key that is shown is sent, with a value of that type; at the top, no other is."""
    assert sent.keys() == shown.keys(), where
    for key, value in shown.items():
        for inner, example in value.items():
            if inner in ("container", "plugin"):
                continue  # what the template is about
            assert type(sent[key][inner]) is type(example), f"{where}: {key}.{inner}"


@pytest.mark.parametrize(("number", "message"), [(0, "found in the cache"), (1, "by hello")])
def test_the_sdk_examples_are_plugins(checkout: Checkout, number: int, message: str) -> None:
    source = fenced(PROTOCOL, "python")[number]
    (checkout.folder / "plugin.py").write_text(checkout.translate(source))
    checkout.leave_running(".venv/bin/python plugin.py")
    run = ".venv/bin/oarlock run examples/hello.yaml --config examples/plugins.toml --output json"
    workflow = json.loads(checkout.run(run))
    assert workflow["status"]["nodes"]["hello"]["message"] == message


PAGES = [each for part in ("docs", "examples") for each in sorted((ROOT / part).rglob("*.md"))]


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(str(each.relative_to(ROOT)) for each in PAGES)]
)
def test_links_lead_somewhere(file: str) -> None:
    document = ROOT / file
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = document if not name else document.parent / name
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", linked.read_text())
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_every_finding_and_everything_that_is_tried_is_documented() -> None:
    page = sections((ROOT / "docs/verify.md").read_text(), 2)
    told = {name.strip("`"): severity for name, severity, _ in rows(page["What is found"])}
    assert told == {name: kind.severity for name, kind in KINDS.items()}
    assert {name.strip("`") for name, _ in rows(page["What is tried"])} == {"example", *CHECKS, "batch"}
