"""Files in, Workflows, templates and ConfigMaps out."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest

from engine.manifests import ManifestError, load, parse
from engine.manifests import loading as loading_module

WORKFLOW = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: hello-
spec:
  zeta: kept as it is
  entrypoint: main
  templates: []
"""


def test_what_is_wrong_is_told_in_one_line_whatever_the_manifest_calls_its_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path, '{"kind": "Workflow", "metadata": {"name": "a"}, "spec": {"x\\n\\u001b[31m": 1}}', "odd.json"
    )
    with pytest.raises(ManifestError) as caught:
        load([path], strict=True)
    assert str(caught.value) == f"{path}, document 1: spec.x\\n\\x1b[31m: unknown field"


def write(directory: Path, text: str, name: str = "manifest.yaml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_a_workflow_keeps_its_fields_and_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, WORKFLOW)
    [manifest] = load([path]).workflows
    assert list(manifest.document["spec"]) == ["zeta", "entrypoint", "templates"]
    assert (manifest.path, manifest.index, manifest.name) == (path, 1, "hello-")
    assert str(manifest) == f"{path}, document 1"


def test_files_may_be_named_as_text_and_one_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path, WORKFLOW)
    assert load(str(path)) == load(path) == load([str(path)]) == load([path])


def test_documents_are_told_apart_by_kind(tmp_path: Path) -> None:
    one = write(
        tmp_path,
        f"# a comment\n---\n{WORKFLOW}---\n"
        "kind: WorkflowTemplate\nmetadata: {name: wt}\n---\n---\n"
        "kind: ClusterWorkflowTemplate\nmetadata: {name: cwt}\n",
    )
    two = write(tmp_path, '{"kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "1"}}', "cm.json")
    manifests = load([one, two])
    assert [manifest.index for manifest in manifests.workflows] == [1]
    assert manifests.workflow_templates["wt"].index == 2
    assert manifests.cluster_workflow_templates["cwt"].index == 4
    assert manifests.config_maps["cm"].document["data"] == {"a": "1"}


def test_a_list_counts_as_its_items(tmp_path: Path) -> None:
    path = write(tmp_path, "kind: List\nitems:\n- kind: Workflow\n- kind: ConfigMap\n  metadata: {name: cm}\n")
    manifests = load([path])
    assert len(manifests.workflows) == 1
    assert list(manifests.config_maps) == ["cm"]


def test_of_two_templates_of_one_name_the_later_counts(tmp_path: Path) -> None:
    template = "kind: WorkflowTemplate\nmetadata: {name: wt}\nspec: {entrypoint: %s}\n"
    paths = [write(tmp_path, template % name, f"{name}.yaml") for name in ("first", "second")]
    assert load(paths).workflow_templates["wt"].document["spec"] == {"entrypoint": "second"}


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ClusterWorkflowTemplate"])
def test_a_template_may_be_known_by_what_its_name_is_generated_from(tmp_path: Path, kind: str) -> None:
    manifests = load([write(tmp_path, f"kind: {kind}\nmetadata: {{generateName: wt-}}\nspec: {{}}\n")])
    assert [*manifests.workflow_templates, *manifests.cluster_workflow_templates] == ["wt-"]


CRON = """\
kind: CronWorkflow
metadata: {name: nightly, namespace: ops, labels: {mine: x, workflows.argoproj.io/controller-instanceid: i}}
spec:
  schedules: ["0 3 * * *"]
  workflowMetadata: {labels: {a: b}, annotations: {c: d}}
  workflowSpec: {entrypoint: main, templates: []}
"""


def test_a_cron_workflow_counts_as_the_workflow_it_makes(tmp_path: Path) -> None:  # convert.go
    [manifest] = load([write(tmp_path, CRON)]).workflows
    assert manifest.document == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "generateName": "nightly-",
            "namespace": "ops",
            "labels": {
                "workflows.argoproj.io/cron-workflow": "nightly",
                "workflows.argoproj.io/controller-instanceid": "i",
                "a": "b",
            },
            "annotations": {"c": "d"},
        },
        "spec": {"entrypoint": "main", "templates": []},
    }


def test_other_kinds_are_skipped_with_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = write(tmp_path, f"{WORKFLOW}---\nkind: CronWorkflow\nmetadata: {{name: nightly}}\n")
    assert len(load([path]).workflows) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"skipping manifest path={path} document=2 kind=CronWorkflow"
    ]


def test_json_and_yaml_give_the_same_document(tmp_path: Path) -> None:
    json = '{"kind": "Workflow", "spec": {"a": [1, 2.5, true, null, "yes"], "b": {"c": -3}}}'
    documents = [
        load([write(tmp_path, json, name)]).workflows[0].document for name in ("manifest.json", "manifest.yaml")
    ]
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ": expected a manifest, found nothing"),
        ("# only a comment\n", ": expected a manifest, found nothing"),
        ("---\n---\n", ": expected a manifest, found nothing"),
        ("just text", ", document 1: expected a mapping, found a string"),
        ("- a\n- b\n", ", document 1: expected a mapping, found a list"),
        ("42", ", document 1: expected a mapping, found a whole number"),
        ("metadata: {}\n", ", document 1: expected a kind, such as Workflow, WorkflowTemplate"),
        ("kind: 5\n", ", document 1: expected a kind"),
        (f"{WORKFLOW}---\nkind: ''\n", ", document 2: expected a kind"),
        ("kind: Workflow\nmetadata: text\n", ", document 1: expected metadata to be a mapping, found a string"),
        (
            "kind: WorkflowTemplate\n",
            ", document 1: expected metadata.name or generateName, a WorkflowTemplate is known by it",
        ),
        ("kind: ConfigMap\nmetadata: {}\n", ", document 1: expected metadata.name or generateName"),
        ("kind: List\nitems: text\n", ", document 1: expected items to be a list, found a string"),
        (
            "kind: List\nitems: [{kind: Workflow}, 3]\n",
            ", document 1, item 2: expected a mapping, found a whole number",
        ),
        ("kind: Workflow\nspec: [unclosed\n", ":3:1: did not find expected ',' or ']'"),
        ("kind: Workflow\n\tspec: x\n", ":2:1: found a tab character that violates indentation"),
        ("kind: Workflow\nspec: *nowhere\n", ":2:7: alias *nowhere stands for nothing that comes before it"),
        ("kind: Workflow\nkind: Workflow\n", ":2:1: key 'kind' is given twice"),
        ("kind: Workflow\nspec: .nan\n", ":2:7: expected a finite number, found .nan"),
    ],
)
def test_errors_are_one_line_that_names_the_place(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ManifestError) as caught:
        load([path])
    assert str(caught.value).startswith(f"{path}{reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ":1:1: Expecting value"),
        ('{"kind": "Workflow",}', ":1:21: "),
        ('{"kind": "Workflow"} x', ":1:22: Extra data"),
        ("\ufeff{}", ", document 1: expected a kind"),
        ('{"a": 1, "a": 2}', ": key 'a' is given twice"),
        ('{"kind": NaN}', ": expected a finite number, found NaN"),
        ('{"kind": 1e999}', ": expected a finite number"),
        ("[" * 201 + "]" * 201, ": nested more than 200 levels deep"),
        ("[" * 100_000, ": nested more than 200 levels deep"),
        ("9" * 5000, ": expected a finite number, found one beyond the range of 64 bits"),
        ("null", ": expected a manifest, found nothing"),
    ],
)
def test_json_is_taken_strictly(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text, "manifest.json")
    with pytest.raises(ManifestError) as caught:
        load([path])
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_a_folder_without_any_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no-such\.yaml: No such file or directory"):
        load([tmp_path / "no-such.yaml"])
    with pytest.raises(ManifestError, match="Is a directory"):
        load([tmp_path])


def test_a_folder_is_read_as_its_files_but_for_what_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path, "kind: Workflow\nmetadata: {name: one}\n", "z.yml")
    write(tmp_path, '{"kind": "Workflow", "metadata": {"name": "two"}}', "b/a.json")
    write(tmp_path, "leaf: {phase: Failed}\n---\nkind: Workflow\nmetadata: {name: three}\n", "b/outcomes.yaml")
    for hidden in (".git/x.yaml", ".x.yaml", "notes.txt"):
        write(tmp_path, "kind: Workflow\n[", hidden)
    manifests = load([tmp_path])
    assert [each.name for each in manifests.workflows] == ["one", "two", "three"]
    assert manifests.workflows[2].path == tmp_path / "b" / "outcomes.yaml"
    write(tmp_path, "kind: [", "b/broken.yaml")
    with pytest.raises(ManifestError, match=r"b/broken\.yaml:2:1: "):
        load([tmp_path])


@pytest.mark.parametrize(
    "text", [WORKFLOW, '\ufeff{"kind":\t"Workflow", "a": "\\ud83d\\ude00"}', "{kind: Workflow, spec: {a: b}}"]
)
def test_standard_input_is_yaml_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    [manifest] = load([Path("-")]).workflows
    assert str(manifest) == "standard input, document 1"
    with pytest.raises(ManifestError, match="standard input: expected a manifest, found nothing"):
        load([Path("-")])


def test_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    for name in ("latin.yaml", "latin.json"):
        path = tmp_path / name
        path.write_bytes(b'{"kind": "caf\xe9"}')
        with pytest.raises(ManifestError, match=name):
            load([path])


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "MAX_BYTES", 1024 * 1024)
    path = write(tmp_path, f"{WORKFLOW}#{'x' * 1024 * 1024}")
    with pytest.raises(ManifestError, match="expected at most 1 MiB"):
        load([path])


@pytest.mark.parametrize("text", [WORKFLOW, '{"kind": "Workflow",\t"metadata": {"generateName": "hello-"}}'])
def test_what_is_here_already_is_parsed_be_it_yaml_or_json(text: str) -> None:
    for data in (text, text.encode()):
        (manifest,) = parse(data).workflows
        assert manifest.document["metadata"] == {"generateName": "hello-"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the body: expected a manifest, found nothing"),
        ("a: [", "the body:2:1: "),
        ("- 1", "the body, document 1: expected a mapping, found a list"),
        ("kind: Workflow\n---\nspec: {}", "the body, document 2: expected a kind, such as Workflow"),
    ],
)
def test_what_cannot_be_parsed_is_called_as_the_caller_says(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse(text, named="the body")
    assert str(caught.value).startswith(message)


def test_fields_that_there_are_not_are_refused_where_it_is_to_be_strict() -> None:
    with pytest.raises(ManifestError, match="zeta"):
        parse(WORKFLOW, strict=True)
