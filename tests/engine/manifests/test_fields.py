"""Fields that there are not, or of another shape: refused with their place and what was meant, or warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.manifests import ManifestError, UnknownFields, load
from engine.manifests.schema import compact, lines

STEPS = "templates: [{name: main, steps: [[{name: a, template: t, %s}]]}]"
LEAF = "templates: [{name: main, container: {image: i}, %s}]"

UNKNOWN = {
    "poddisruptionbudget: {}": "spec.poddisruptionbudget: unknown field, is it 'podDisruptionBudget'?",
    "podDisruptionBudget: {minAvailabel: 1}": "podDisruptionBudget.minAvailabel: unknown field, is it 'minAvailable'?",
    "templates: [{name: a, dag: {tasks: [{name: t, dependsOn: b}]}}]": (
        "spec.templates[0].dag.tasks[0].dependsOn: unknown field, is it 'depends'?"
    ),
    "templates: [{}, {container: {comand: [a]}}]": "templates[1].container.comand: unknown field, is it 'command'?",
    "templates: [{command: [a]}]": "spec.templates[0].command: unknown field, is it 'container.command'?",
    "templates: [{wholly: 1}]": "spec.templates[0].wholly: unknown field",
    "templateDefaults: {script: {sauce: x}}": "spec.templateDefaults.script.sauce: unknown field, is it 'source'?",
    "hooks: {exit: {templat: x}}": "spec.hooks.exit.templat: unknown field, is it 'template'?",
    "volumes: [{name: v, emptyDirr: {}}]": "spec.volumes[0].emptyDirr: unknown field, is it 'emptyDir'?",
    "arguments: {parameters: [{name: p, valu: 1}]}": "spec.arguments.parameters[0].valu: unknown field, is it 'value'?",
    LEAF
    % "container: {livenessProbe: {httpGet: {prot: 1}}}": "livenessProbe.httpGet.prot: unknown field, is it 'port'?",
    LEAF % "securityContext: {runAsUsr: 1}": "securityContext.runAsUsr: unknown field, is it 'runAsUser'?",
    LEAF % "affinity: {podAffinty: {}}": "affinity.podAffinty: unknown field, is it 'podAffinity'?",
    LEAF % "sidecars: [{env: [{name: a, valueFrom: {secretKeyReff: {}}}]}]": "is it 'secretKeyRef'?",
    LEAF % "outputs: {artifacts: [{name: a, archive: {none: {level: 1}}}]}": "archive.none.level: unknown field",
    LEAF % "suspend: {Duration: 1}": "suspend.Duration: unknown field, is it 'duration'?",
    STEPS % "dependsOn: x": "spec.templates[0].steps[0][0].dependsOn: unknown field",
}

OTHERWISE = {
    "templates: {main: {container: {image: i}}}": "spec.templates: expected a list, got a mapping",
    "arguments: [{name: p, value: 1}]": "spec.arguments: expected a mapping, got a list",
    "arguments: {parameters: {p: 1}}": "spec.arguments.parameters: expected a list, got a mapping",
    "arguments: {artifacts: [{name: a, s3: bucket/key}]}": "artifacts[0].s3: expected a mapping, got a string",
    "hooks: {exit: main}": "spec.hooks.exit: expected a mapping, got a string",
    "tolerations: {key: k}": "spec.tolerations: expected a list, got a mapping",
    "parallelism: [1]": "spec.parallelism: expected a whole number, got a list",
    "suspend: {}": "spec.suspend: expected a boolean, got a mapping",
    LEAF % "container: {image: i, command: make}": "templates[0].container.command: expected a list, got a string",
    LEAF % "container: {image: i, args: 5}": "templates[0].container.args: expected a list, got a whole number",
    LEAF % "container: {image: i, args: [[a]]}": "templates[0].container.args[0]: expected a string, got a list",
    LEAF % "container: {image: i, env: {A: b}}": "templates[0].container.env: expected a list, got a mapping",
    LEAF % "container: {image: i, workingDir: [a]}": "container.workingDir: expected a string, got a list",
    LEAF % "metadata: {labels: {a: [b]}}": "metadata.labels.a: expected a string, got a list",
    LEAF % "sidecars: [{name: s, ports: [80]}]": "sidecars[0].ports[0]: expected a mapping, got a whole number",
    STEPS % "withItems: abc": "steps[0][0].withItems: expected a list, got a string",
    "templates: [{name: main, steps: [{name: a, template: t}]}]": "steps[0]: expected a list, got a mapping",
}

KNOWN = [
    "podPriority: 7",
    "synchronization: {mutex: {name: m}, semaphore: {configMapKeyRef: {name: c, key: k}}}",
    "templates: [{name: main, plugin: {mine: {any: [{thing: at, all: true}]}}}]",
    "templates: [{name: main, priority: 1, metadata: {labels: {any: a}, annotations: {other: b}}}]",
    "templates: [{name: main, dag: {tasks: [{name: t, onExit: e, withItems: [{any: thing}]}]}}]",
    "volumes: [{name: v, gitRepo: {repository: r}}]",
    "volumeClaimTemplates: [{metadata: {name: c}, spec: {resources: {requests: {storage: 1Gi}}}}]",
    "podGC: {labelSelector: {matchLabels: {any: x}}}",
    "hooks: {}",
    "executorPlugins:",
    LEAF % "outputs: {parameters: [{name: p, valueFrom: {supplied: {}}}]}",
    LEAF % "container: {resources: {limits: {nvidia.com/gpu: 1}}}",
    LEAF % "inputs: {parameters: [{name: p, value: [a], default: {b: 1}, enum: [{}], valueFrom: {default: []}}]}",
    STEPS % "withItems: [1, a, [b], {c: {d: e}}, null], arguments: null",
    "volumes: [{name: v, emptyDir: {sizeLimit: 1}}]",
]


def manifest(directory: Path, spec: str, kind: str = "Workflow", **more: Any) -> Path:
    path = directory / "work.yaml"
    document = {"kind": kind, "metadata": {"name": "a"}, "spec": yaml.load(spec, yaml.CSafeLoader), **more}
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(("spec", "told"), UNKNOWN.items())
def test_an_unknown_field_is_refused_with_its_place_and_what_was_meant(tmp_path: Path, spec: str, told: str) -> None:
    with pytest.raises(UnknownFields) as caught:
        load([manifest(tmp_path, spec)], strict=True)
    assert str(caught.value).startswith(f"{tmp_path}/work.yaml, document 1: spec.")
    assert told in str(caught.value)


@pytest.mark.parametrize(("spec", "told"), OTHERWISE.items())
@pytest.mark.parametrize("strict", [True, False])
def test_a_list_a_mapping_or_a_single_value_in_place_of_another_of_these_is_refused(
    tmp_path: Path, spec: str, told: str, strict: bool
) -> None:
    with pytest.raises(ManifestError) as caught:
        load([manifest(tmp_path, spec)], strict=strict)
    assert not isinstance(caught.value, UnknownFields)
    assert str(caught.value).startswith(f"{tmp_path}/work.yaml, document 1: spec.")
    assert str(caught.value).endswith(told)


@pytest.mark.parametrize("spec", KNOWN)
def test_what_argo_knows_or_knew_is_known(tmp_path: Path, caplog: pytest.LogCaptureFixture, spec: str) -> None:
    load([manifest(tmp_path, spec)], strict=True)
    assert not caplog.records


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ClusterWorkflowTemplate"])
def test_templates_are_checked_too(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnknownFields, match=r"spec\.entrypoit: unknown field, is it 'entrypoint'\?"):
        load([manifest(tmp_path, "entrypoit: main", kind)], strict=True)


def test_a_cron_workflow_and_what_it_runs_are_checked(tmp_path: Path) -> None:
    load([manifest(tmp_path, "{schedule: '* * * * *', workflowSpec: {templates: []}}", "CronWorkflow")], strict=True)
    with pytest.raises(UnknownFields, match=r"spec\.workflowSpec\.template: unknown field, is it 'templates'\?"):
        load([manifest(tmp_path, "workflowSpec: {template: []}", "CronWorkflow")], strict=True)


def test_objects_of_other_kinds_may_have_any(tmp_path: Path) -> None:
    load([manifest(tmp_path, "{}", "ConfigMap", some={"thing": 1})], strict=True)


def test_all_of_a_document_are_told_of_in_one_line_but_no_flood(tmp_path: Path) -> None:
    with pytest.raises(UnknownFields) as caught:
        load([manifest(tmp_path, f"{{{', '.join(f'x{n}: 1' for n in range(25))}}}")], strict=True)
    assert str(caught.value).count("unknown field") == 10
    assert str(caught.value).endswith("; and 15 more")


def test_without_strictness_they_are_kept_and_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [loaded] = load([manifest(tmp_path, "{extra: 1, templates: []}")], strict=False).workflows
    [record] = caplog.records
    assert record.getMessage() == f'unknown field place="{loaded}: spec.extra" perhaps=executor'
    assert vars(record)["place"] == f"{loaded}: spec.extra"
    assert loaded.document["spec"] == {"extra": 1, "templates": []}


def test_without_strictness_capitals_do_not_matter_as_they_do_not_to_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [loaded] = load([manifest(tmp_path, "{PodPriority: 7, ENTRYPOINT: a, entrypoint: b}")], strict=False).workflows
    assert loaded.document["spec"] == {"podPriority": 7, "ENTRYPOINT": "a", "entrypoint": "b"}
    assert [vars(record)["perhaps"] for record in caplog.records] == ["entrypoint"]


def test_what_is_in_a_step_is_warned_of_only_since_argo_takes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = STEPS % "arguments: {Parameters: [{name: p, valu: 1}]}"
    [loaded] = load([manifest(tmp_path, spec)], strict=True).workflows
    [[step]] = loaded.document["spec"]["templates"][0]["steps"]
    assert step["arguments"] == {"parameters": [{"name": "p", "valu": 1}]}
    assert [vars(record)["perhaps"] for record in caplog.records] == ["value"]


def test_a_workflow_that_has_begun_keeps_what_plugins_gave_it(tmp_path: Path) -> None:
    load([manifest(tmp_path, "extra: 1", status={"phase": "Running", "mine": 1})], strict=True)
    load([manifest(tmp_path, "{}", status={"mine": 1})], strict=True)


def test_to_embedders_a_document_is_what_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [loaded] = load([manifest(tmp_path, "extra: 1")]).workflows
    assert loaded.document["spec"] == {"extra": 1}
    assert not caplog.records


def test_the_fields_are_made_from_an_openapi_document() -> None:
    argo = "io.argoproj.workflow.v1alpha1."

    def ref(name: str) -> dict[str, str]:
        return {"$ref": f"#/definitions/{name}"}

    bare: dict[str, Any] = {"type": "object"}
    definitions: dict[str, Any] = {f"{argo}{kind}": bare for kind in ("WorkflowTemplate", "ClusterWorkflowTemplate")}
    definitions[f"{argo}CronWorkflow"] = bare
    definitions[f"{argo}Workflow"] = {
        "type": "object",
        "properties": {
            "hooks": {"type": "object", "additionalProperties": ref(f"{argo}Hook")},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "plugin": ref(f"{argo}Plugin"),
            "status": ref(f"{argo}Status"),
            "steps": {"type": "array", "items": ref(f"{argo}Parallel")},
            "when": ref("io.k8s.Time"),
        },
    }
    definitions[f"{argo}Parallel"] = {"type": "array", "items": ref("io.k8s.Step")}
    definitions[f"{argo}Hook"] = definitions["io.k8s.Step"] = definitions[f"{argo}Plugin"] = bare
    definitions["io.k8s.Time"] = {"type": "string"}
    types = compact({"definitions": definitions})
    assert types["Workflow"] == {
        "hooks": "*Hook", "labels": "*", "plugin": "?", "status": "?", "steps": "[][]Step", "when": "",
    }  # fmt: skip
    assert set(types) == {"Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "Hook", "Step"}
    assert len([*lines(types)]) == 3
