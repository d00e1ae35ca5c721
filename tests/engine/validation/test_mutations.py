"""Whatever is wrong with a workflow, it is refused, it fails, or it runs: it never ends the engine."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import InvalidDocument, InvalidWorkflow, Workflow
from tests.engine.graph.running import run

WHOLE = yaml.load(
    """
    kind: Workflow
    metadata: {name: wf, labels: {l: x}, annotations: {a: y}, creationTimestamp: "2023-11-14T10:00:00Z"}
    spec:
      entrypoint: main
      arguments:
        parameters:
        - {name: p, value: "1", enum: ["1", "2"]}
        - {name: c, valueFrom: {configMapKeyRef: {name: c, key: k}}}
        artifacts: [{name: f, raw: {data: x}}]
      onExit: bye
      hooks: {running: {template: leaf, expression: workflow.status == "Running"}}
      parallelism: 4
      volumes: [{name: v, emptyDir: {}}]
      priority: 2
      activeDeadlineSeconds: 3600
      podGC:
        strategy: OnPodCompletion
        labelSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: In, values: [d]}]}
      synchronization: {mutex: {name: whole}}
      retryStrategy: {limit: 1}
      templateDefaults: {container: {image: default}, metadata: {labels: {l: x}}}
      workflowMetadata: {labels: {m: n}, annotations: {o: p}, labelsFrom: {q: {expression: workflow.parameters.p}}}
      templates:
      - name: main
        inputs: {parameters: [{name: p, default: x}], artifacts: [{name: f, optional: true}]}
        parallelism: 3
        failFast: false
        steps:
        - - name: a
            template: dag
            hooks: {exit: {template: leaf}, h: {template: leaf, expression: steps.a.status == "Failed"}}
          - {name: b, template: gen, withItems: [1, {k: v}, [x]], continueOn: {failed: true, error: true}}
        - - name: c
            template: echo
            withParam: "{{steps.b.outputs.result}}"
            when: "{{item}} != 2"
            arguments: {parameters: [{name: t, value: "{{item}}"}]}
          - {name: d, template: leaf, withSequence: {start: 1, count: "2", format: "%02d"}, onExit: leaf}
          - name: e
            templateRef: {name: lib, template: t}
            arguments: {artifacts: [{name: f, from: "{{inputs.artifacts.f}}"}]}
          - {name: i, inline: {container: {image: i}}}
        outputs:
          parameters: [{name: o, globalName: g, valueFrom: {parameter: "{{steps.a.outputs.parameters.o}}", default: d}}]
          artifacts: [{name: q, from: "{{steps.a.outputs.artifacts.q}}", optional: true}]
      - name: dag
        dag:
          target: z
          failFast: true
          tasks:
          - {name: x, template: set}
          - {name: y, depends: "x.Succeeded || x.Failed", template: wait, continueOn: null}
          - {name: f, template: file}
          - {name: z, depends: x && y && f, template: file, withItems: [1, 2]}
        outputs:
          parameters: [{name: o, valueFrom: {expression: "tasks.y.outputs.parameters.s"}}]
          artifacts: [{name: q, fromExpression: "tasks.f.outputs.artifacts.q", optional: true}]
      - name: set
        containerSet:
          containers: [{name: main, image: i}, {name: two, image: i, dependencies: [main]}]
          volumeMounts: [{name: v, mountPath: /v}]
      - name: wait
        suspend: {duration: 10s}
        outputs: {parameters: [{name: s, valueFrom: {supplied: {}, default: "0"}}]}
      - name: file
        container:
          image: i
          command: [x]
          args: ["{{=1 + 1}}", "{{workflow.parameters.p}}"]
          volumeMounts: [{name: v, mountPath: /v}]
        outputs:
          artifacts: [{name: q, path: /q, s3: {key: k}}]
          parameters: [{name: w, valueFrom: {path: /w}}]
        retryStrategy:
          limit: "2"
          retryPolicy: Always
          expression: "lastRetry.exitCode != '0'"
          backoff: {duration: 1s, factor: 2, maxDuration: 1m, cap: 5s}
        metrics: {prometheus: [{name: m, help: h, labels: [{key: l, value: x}], counter: {value: "1"}}]}
        archiveLocation: {hdfs: {addresses: [a], path: /p, hdfsUser: u}}
      - name: gen
        script: {image: i, source: x}
        memoize: {key: k, maxAge: 1h, cache: {configMap: {name: memos}}}
      - name: echo
        inputs: {parameters: [{name: t}]}
        container: {args: ["{{inputs.parameters.t}}"]}
        timeout: 1m
        activeDeadlineSeconds: 60
      - name: leaf
        resource: {action: create, manifest: "a: b"}
        synchronization: {semaphores: [{configMapKeyRef: {name: c, key: n}}]}
      - name: bye
        daemon: true
        container: {image: i, args: ["{{workflow.failures}}"]}
        annotations: {workflows.argoproj.io/display-name: hello}
    """,
    yaml.CSafeLoader,
)
OPTIONAL = {"artifacts": [{"name": "f", "path": "/f", "optional": True}]}
TEMPLATE = {"name": "t", "inputs": OPTIONAL, "http": {"url": "x"}}
AROUND: dict[str, Any] = {
    "workflow_templates": {"lib": {"metadata": {"name": "lib"}, "spec": {"templates": [TEMPLATE]}}},
    "config_maps": {"c": {"data": {"k": "v", "n": "2"}}},
}
ENDS = "{gen: {result: '1'}}"

TEXTS = [
    *("", "a", "main", "leaf", "1", "-1", "x" * 200, "{{", "}}", "{{item}}", "{{=1/0}}", "{{steps.a.outputs.result}}"),
    *("{{tasks.x.status}}", "{{inputs.parameters.p}}", "{{workflow.name}}", "{{hello}}", "1s", "[1, 2]", "{}", "null"),
    *("a.b", "ä\u0000\ud800", "OnError", "a && b", "2023-01-01T00:00:00Z", "9999999999999999999999", "1e999"),
]
NUMBERS = [0, 1, -1, 3, 2**70, 1.5, float("inf"), float("nan")]
KEYS = st.sampled_from(["name", "a", "template", "value", "{{workflow.parameters.p}}"])
values = st.recursive(
    st.sampled_from([None, True, False, *NUMBERS, *TEXTS]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a document."""
    found = [path] if path else []
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in pairs:
        found.extend(places(value, (*path, key)))
    return found


@st.composite
def mutants(draw: st.DrawFn, whole: dict[str, Any], paths: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The whole workflow with one to three things in it changed, dropped, doubled or put elsewhere."""
    document = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(paths))
        here: Any = document
        try:
            for key in path:
                here = here[key]
            change = draw(st.sampled_from(["replace", "replace", "drop", "double", "move"]))
            if change == "replace":
                here[last] = draw(values)
            elif change == "drop":
                del here[last]
            elif change == "double" and isinstance(here, list):
                here.append(copy.deepcopy(here[last]))
            else:
                *_, key = draw(st.sampled_from(paths))
                if isinstance(here, dict) and isinstance(key, str):
                    here[key] = here[last]
        except (KeyError, IndexError, TypeError):
            pass  # an earlier change has removed the place
    return document


def parsed(document: dict[str, Any]) -> Workflow | None:
    """The workflow, None where it is refused on a single line."""
    try:
        return Workflow(document)
    except InvalidWorkflow as error:
        if "\n" in str(error):
            raise
        return None


def test_without_a_change_it_runs() -> None:
    ran = run(Workflow(WHOLE), ENDS, **AROUND)
    assert (ran.phase, ran.message) == ("Succeeded", "")


SLOW = settings(max_examples=75)


@SLOW
@given(
    document=mutants(WHOLE, places(WHOLE)),
    ends=st.sampled_from(["", ENDS, "{leaf: {phase: Failed}}", "{file: {phase: Error}}"]),
)
@example(document=WHOLE, ends=ENDS)
def test_no_change_to_a_workflow_is_more_than_the_engine_can_bear(document: dict[str, Any], ends: str) -> None:
    workflow = parsed(document)
    if workflow is not None:
        ran = run(workflow, ends, timeout=7200, **AROUND)
        assert ran.phase in ("Succeeded", "Failed", "Error", "Running", "Pending")
        assert Workflow(ran.workflow.to_dict()).encode() == ran.workflow.encode()


@SLOW
@given(data=st.data())
def test_nor_any_change_to_a_template_that_it_refers_to(data: st.DataObject) -> None:
    library = {"metadata": {"name": "lib"}, "spec": {"templates": copy.deepcopy(WHOLE["spec"]["templates"])}}
    *path, last = data.draw(st.sampled_from(places(library)))
    here: Any = library
    for key in path:
        here = here[key]
    here[last] = data.draw(values)
    document = {"metadata": {"name": "wf"}, "spec": {"entrypoint": "main", "workflowTemplateRef": {"name": "lib"}}}
    try:
        assert run(Workflow(document), timeout=7200, **{**AROUND, "workflow_templates": {"lib": library}}).phase
    except InvalidDocument as error:
        if "\n" in str(error):
            raise


MIDDLE = run(Workflow(WHOLE), timeout=5, **AROUND).workflow.to_dict()
"""The whole workflow while its suspended node waits."""


@SLOW
@given(document=mutants(MIDDLE, [path for path in places(MIDDLE) if path[0] == "status" and len(path) > 1]))
@example(document=MIDDLE)
def test_nor_any_change_to_what_a_run_has_left_behind(document: dict[str, Any]) -> None:
    workflow = parsed(document)
    if workflow is not None:
        assert run(workflow, timeout=7200, **AROUND).phase in ("Succeeded", "Failed", "Error", "Running", "Pending")
