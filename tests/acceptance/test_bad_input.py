"""What a person can get wrong: one line on standard error that says where, the right exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Engine, InvalidWorkflow, Workflow
from tests.acceptance.fixtures import RunOarlock, RunPython
from tests.acceptance.manifests import WHOLE
from tests.fuzz.values import places, replaced
from tests.security.servers import server_context, serving

GOOD = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: work}
spec:
  entrypoint: main
  templates: [{name: main, container: {image: busybox}}]
"""


def with_spec(spec: str) -> str:
    return f"kind: Workflow\nmetadata: {{name: work}}\nspec: {spec}\n"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("gone.yaml", None, "gone.yaml: No such file or directory"),
        ("wf.yaml", "", "wf.yaml: expected a manifest, found nothing"),
        ("wf.yaml", "a: [1,\nb: 2", "wf.yaml:3:1: "),
        ("wf.yaml", "kind: Workflow\n\tspec: {}", "wf.yaml:2:1: found a tab character that violates indentation"),
        ("wf.json", '{"kind": "Workflow",}', "wf.json:1:21: "),
        ("wf.yaml", b"kind: \xff", "wf.yaml:1:7: invalid leading UTF-8 octet"),
        ("wf.yaml", "just words", "wf.yaml, document 1: expected a mapping, found a string"),
        ("wf.yaml", "kind: Pod\nmetadata: {name: a}", "wf.yaml: expected a manifest of kind Workflow, found none"),
        ("wf.yaml", "spec: {}", "wf.yaml, document 1: expected a kind, such as Workflow"),
        ("wf.yaml", "kind: Workflow\nspec: {}", "wf.yaml, document 1: metadata.name: expected a name"),
        (
            "wf.yaml",
            "kind: Workflow\nmetadata: {name: a}",
            "wf.yaml, document 1: spec: expected a mapping, got nothing",
        ),
        ("wf.yaml", f"{GOOD}---\n{GOOD}", "wf.yaml, document 2: metadata.name: there are two workflows 'default/work'"),
        ("wf.yaml", "kind: Workflow\nkind: Pod", "wf.yaml:2:1: key 'kind' is given twice"),
        ("wf.yaml", f"{GOOD}x: .nan", "wf.yaml:7:4: expected a finite number, found .nan"),
        ("wf.yaml", "x: " + "[" * 5000 + "]" * 5000, "wf.yaml:1:203: nested more than 200 levels deep"),
        ("wf.yaml", with_spec("[]"), "wf.yaml, document 1: spec: expected a mapping, got a list"),
        ("wf.yaml", with_spec("{templates: {}}"), "spec.templates: expected a list, got a mapping"),
        ("wf.yaml", with_spec("{templates: [{steps: [{name: a}]}]}"), "spec.templates[0].steps[0]: expected a list"),
        ("wf.yaml", with_spec("{templates: [{dag: {tasks: [{template: a}]}}]}"), "tasks[0]: expected a name, got none"),
        ("wf.yaml", with_spec("{parallelism: two}"), "spec.parallelism: expected a whole number, got a string"),
        ("wf.yaml", with_spec("{arguments: {parameters: [a]}}"), "spec.arguments.parameters[0]: expected a mapping"),
    ],
)
def test_a_manifest_that_cannot_be_read(
    file: str, text: bytes | str | None, complaint: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = oarlock("run", file)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"Error: {file}")
    assert complaint in done.err


def test_aliases_cannot_blow_a_manifest_up(oarlock: RunOarlock, tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for this, last in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]")
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    done = oarlock("run", "bomb.yaml")
    assert done.code == 2
    assert done.err.startswith("Error: bomb.yaml:")
    assert "aliases stand for" in done.err


def test_a_template_of_the_wrong_shape_in_a_further_file(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    (tmp_path / "shared.yaml").write_text(with_spec("{templates: 1}").replace("Workflow", "WorkflowTemplate"))
    done = oarlock("run", "wf.yaml", "shared.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: shared.yaml, document 1: spec.templates: expected a list, got a whole number\n"


LEAF = "{name: leaf, container: {}}"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("{templates: []}", "spec.entrypoint is required"),
        (f"{{entrypoint: nowhere, templates: [{LEAF}]}}", "template name 'nowhere' undefined"),
        ("{entrypoint: a, templates: [{name: a, steps: [[{name: b, template: c}]]}]}", "template name 'c' undefined"),
        ("{entrypoint: a, templates: [{name: a, container: {}}, {name: a, container: {}}]}", "is not unique"),
        ("{entrypoint: a, templates: [{name: a}]}", "template type unspecified"),
        (
            "{entrypoint: a, templates: [{name: a, steps: [[{name: b, templateRef: {name: c, template: d}}]]}]}",
            '"c" not found',
        ),
        (
            f"{{entrypoint: a, templates: [{LEAF}, {{name: a, dag: {{tasks: ["
            "{name: b, template: leaf, dependencies: [d]}, {name: c, template: leaf, dependencies: [b]}, "
            "{name: d, template: leaf, dependencies: [c]}]}}]}",
            "dependency cycle detected: b->d->c->b",
        ),
        (
            f"{{entrypoint: a, templates: [{LEAF}, {{name: a, dag: {{tasks: ["
            "{name: x, template: leaf}, {name: x, template: leaf}]}}]}",
            "tasks[1].name 'x' is not unique",
        ),
        (
            f"{{entrypoint: a, templates: [{LEAF}, {{name: a, dag: {{tasks: ["
            "{name: b, template: leaf, dependencies: [c]}]}}]}",
            "dependency 'c' not defined",
        ),
    ],
)
def test_a_spec_that_argo_refuses_is_failed_with_the_reason_and_no_nodes(
    spec: str, reason: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "wf.yaml").write_text(with_spec(spec))
    done = oarlock("run", "wf.yaml", "--output", "json")
    assert (done.code, done.err) == (1, "")
    status = json.loads(done.out)["status"]
    assert status["phase"] == "Failed"
    assert status["message"].startswith("invalid spec: ")
    assert reason in status["message"]
    assert "nodes" not in status


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{name: main, steps: [[{name: b, template: nowhere}]]}", id="unknown template"),
        pytest.param(
            "{name: main, dag: {tasks: [{name: b, template: leaf, dependencies: [c]}, "
            "{name: c, template: leaf, dependencies: [b]}]}}",
            id="cycle",
        ),
        pytest.param(
            "{name: main, dag: {tasks: [{name: x, template: leaf}, {name: x, template: leaf}]}}",
            id="duplicate task name",
        ),
    ],
)
def test_a_workflow_that_is_refused_keeps_no_other_from_succeeding(
    template: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    bad = with_spec(f"{{entrypoint: main, templates: [{LEAF}, {template}]}}").replace("work", "bad")
    (tmp_path / "wf.yaml").write_text(f"{bad}---\n{GOOD}")
    done = oarlock("run", "wf.yaml", "--output", "json")
    assert done.code == 1
    phases = {each["metadata"]["name"]: each["status"]["phase"] for each in json.loads(done.out)}
    assert phases == {"bad": "Failed", "work": "Succeeded"}


PLUGIN = '[[plugins]]\nname = "a"\naddress = "http://localhost:1"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "plugins.toml: cannot be read: No such file or directory"),
        ("", "plugins.toml: expected [engine], [[plugins]] or configmaps, got an empty file"),
        ("[engine\n", "plugins.toml: line 1, column 8: not TOML: "),
        ("[engine]\nenable = true\n", "plugins.toml: engine.enable: unknown key, did you mean enabled?"),
        (f"{PLUGIN}timout = '1s'\n", "plugins.toml: plugins[0].timout: unknown key, did you mean timeout?"),
        (f"{PLUGIN}timeout = 1\n", "plugins.toml: plugins[0].timeout: expected a duration in quotes"),
        (f"{PLUGIN}timeout = '0s'\n", "plugins.toml: plugins[0].timeout: expected a duration greater than zero"),
        ("[[plugins]]\nname = 'a'\n", "plugins.toml: plugins[0].address: expected an http://, https:// or unix:///"),
        (
            "[[plugins]]\nname = 'a'\naddress = 'ftp://x'\n",
            "plugins.toml: plugins[0].address: 'ftp://x' is not an http",
        ),
        (PLUGIN * 2, 'plugins.toml: plugins[1].name: expected a name of its own, "a" is that of plugins[0].name'),
        ("configmaps = ['gone/']\n", "plugins.toml: configmaps[0]: cannot read gone: No such file or directory"),
    ],
)
def test_a_configuration_that_cannot_be_used(
    text: str | None, complaint: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    if text is not None:
        (tmp_path / "plugins.toml").write_text(text)
    for command in (["run", "wf.yaml"], ["check"]):
        done = oarlock(*command, "--config", "plugins.toml")
        assert (done.code, done.out) == (2, "")
        assert done.err.count("\n") == 1
        assert done.err.startswith(f"Error: {complaint}")


def test_a_plugin_with_nobody_home(oarlock: RunOarlock, tmp_path: Path, closed_port: int) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    (tmp_path / "plugins.toml").write_text("[engine]\nenabled = true\n" + PLUGIN.replace(":1", f":{closed_port}"))
    done = oarlock("run", "wf.yaml", "--config", "plugins.toml")
    assert (done.code, done.out) == (2, "")
    *_, last = done.err.splitlines()
    reason = f"nobody answers at http://localhost:{closed_port}: Connection refused"
    assert last == f"Error: plugins.toml: plugins[0].address: {reason}"


def test_a_plugin_whose_certificate_is_by_nobody_we_know(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    with serving(server_context(trustme.CA())) as server:
        (tmp_path / "plugins.toml").write_text(
            f'[engine]\nenabled = true\n[[plugins]]\nname = "a"\naddress = "{server.address}"\n'
        )
        done = oarlock("run", "wf.yaml", "--config", "plugins.toml")
    assert (done.code, done.out) == (2, "")
    *_, last = done.err.splitlines()
    reason = "unknown issuer: unable to get local issuer certificate"
    assert last == f"Error: plugins.toml: plugins[0].address: TLS with {server.address} failed: {reason}"


@pytest.mark.parametrize("policy", ["failure_policy = 'ignore'", "mode = 'observe'"])
def test_a_plugin_that_may_be_missing_is_no_bad_input(
    policy: str, oarlock: RunOarlock, tmp_path: Path, closed_port: int
) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    plugin = PLUGIN.replace(":1", f":{closed_port}") + policy
    (tmp_path / "plugins.toml").write_text(f"[engine]\nenabled = true\n{plugin}\n")
    assert oarlock("run", "wf.yaml", "--config", "plugins.toml").code == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "outcomes.yaml: No such file or directory"),
        ("- a", "outcomes.yaml: expected one mapping, found a list"),
        ("main: {phase: Done}", "outcomes.yaml: main: "),
        ("main: {phas: Failed}", "outcomes.yaml: main: "),
        ("main: {duration: soon}", "outcomes.yaml: main: 'soon' is not a duration"),
        ("main: []", "outcomes.yaml: main: expected at least one outcome"),
    ],
)
def test_an_outcomes_file_that_cannot_be_used(
    text: str | None, complaint: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    if text is not None:
        (tmp_path / "outcomes.yaml").write_text(text)
    done = oarlock("run", "wf.yaml", "--outcomes", "outcomes.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"Error: {complaint}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument 'WF.yaml...'."),
        (["wf.yaml", "--timeout", "soon"], "'soon' is not a duration such as 500ms, 2m or 1h30m"),
        (["wf.yaml", "--output", "xml"], "'xml' is not one of 'summary', 'json', 'yaml'."),
        (["wf.yaml", "--executor", "real"], "'real' is not one of 'simulated', 'local', 'pending'."),
        (
            ["wf.yaml", "-p", "a=\udcff"],
            "Invalid value for '--parameter' / '-p': expected UTF-8",
        ),
        (["wf.yaml", "--entrypoint", "\udcff"], "Invalid value for '--entrypoint': expected UTF-8"),
        (["wf.yaml", "--nosuch"], "No such option '--nosuch'"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    arguments: list[str], complaint: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "wf.yaml").write_text(GOOD)
    done = oarlock("run", *arguments)
    assert done.code == 2
    assert complaint in done.err


def test_a_process_shows_no_traceback_either(process: RunPython, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text("kind: Workflow\n  spec: {")
    done = process("-m", "engine", "run", "wf.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: wf.yaml:2:7: mapping values are not allowed in this context\n"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.sampled_from(list(places(WHOLE))),
    by=st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.sampled_from(["", "x", "{{", "{{x}}", "{{=1+}}", "{{item}}", "5m", "a b"])
    | st.sampled_from([[], {}, [1], ["a"], [[]], [{}], {"a": 1}, 1.5]),
)
async def test_whatever_stands_in_a_field_the_workflow_ends_or_is_refused(path: tuple[Any, ...], by: Any) -> None:
    try:
        workflow = Workflow(replaced(WHOLE, path, by))
    except InvalidWorkflow:
        return
    async with Engine() as engine:
        await engine.run([workflow], timeout=24 * 3600)
        assert workflow.finished or engine.waiting_for(workflow)
    json.loads(workflow.encode())


def test_a_field_that_nobody_knows_is_refused_unless_it_is_let_be(oarlock: RunOarlock, tmp_path: Path) -> None:
    spec = "{entrypoint: a, templates: [{name: a, container: {image: i, comand: [b]}}]}"
    (tmp_path / "wf.yaml").write_text(with_spec(spec))
    place = "wf.yaml, document 1: spec.templates[0].container.comand"
    done = oarlock("run", "wf.yaml")
    assert done.code == 2
    assert done.err == f"Error: {place}: unknown field, is it 'command'? (--no-strict lets them be)\n"
    done = oarlock("run", "wf.yaml", "--no-strict")
    assert done.code == 0
    assert "unknown field" in done.err
    assert place in done.err
