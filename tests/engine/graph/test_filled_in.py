"""Any text in a workflow may be a parameter of it, or of the template in which it stands: Argo fills in a template, and
what else a spec has, as one text (SubstituteParams, substituteGlobalVariables)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml

from engine import Workflow
from tests.engine.graph.running import Ran, run

SPEC: dict[str, Any] = yaml.safe_load(
    """
    entrypoint: main
    hooks:
      h: {template: echo, expression: "workflow.status == 'Running'", arguments: {parameters: [{name: t, value: hi}]}}
      exit: {template: echo, arguments: {parameters: [{name: t, value: bye}]}}
    workflowMetadata: {labels: {l: v}, annotations: {a: w}, labelsFrom: {f: {expression: "'x'"}}}
    volumes: [{name: vol, emptyDir: {}}]
    synchronization: {mutexes: [{name: m}]}
    retryStrategy: {limit: "0", retryPolicy: OnFailure, backoff: {duration: 1s}}
    templates:
    - name: main
      steps:
      - - name: a
          template: make
          arguments: {parameters: [{name: p, value: one}], artifacts: [{name: i, raw: {data: d}}]}
          onExit: set
          hooks:
            h:
              template: echo
              expression: steps.a.status == 'Succeeded'
              arguments: {parameters: [{name: t, value: "{{steps.a.outputs.parameters.o}}"}]}
        - {name: l, template: echo, withItems: [x, {k: y}], when: "'1' == '1'", arguments: {parameters: [{name: t,
            value: "{{item}}"}]}}
        - {name: s, template: echo, when: a == b, arguments: {parameters: [{name: t, value: "no"}]}}
        - {name: q, template: echo, withSequence: {count: "2", format: n%d}, arguments: {parameters: [{name: t,
            value: "{{item}}"}]}}
        - {name: w, template: echo, withParam: '["z"]', arguments: {parameters: [{name: t, value: "{{item}}"}]}}
      - - name: d
          template: dag
          arguments:
            parameters: [{name: x, value: "{{steps.a.outputs.parameters.o}}"}]
            artifacts: [{name: f, from: "{{steps.a.outputs.artifacts.b}}"}]
      outputs:
        parameters: [{name: o, globalName: g, valueFrom: {parameter: "{{steps.d.outputs.parameters.r}}"}}]
        artifacts: [{name: a, from: "{{steps.d.outputs.artifacts.r}}"}]
    - name: dag
      inputs: {parameters: [{name: x}, {name: y, default: z}], artifacts: [{name: f, s3: {key: k}}]}
      dag:
        target: c
        tasks:
        - {name: a, template: ask}
        - {name: b, depends: a.Succeeded, template: echo, arguments: {parameters: [{name: t,
            value: "{{inputs.parameters.y}}"}]}}
        - name: c
          depends: b
          template: read
          onExit: set
          arguments:
            parameters: [{name: m, value: "{{tasks.a.outputs.parameters.s}}"}]
            artifacts: [{name: i, from: "{{inputs.artifacts.f}}", subPath: sub}]
      outputs:
        parameters: [{name: r, valueFrom: {expression: tasks.a.outputs.parameters.s + inputs.parameters.x, default: n}}]
        artifacts: [{name: r, fromExpression: tasks.c.outputs.artifacts.y}]
    - name: make
      inputs: {parameters: [{name: p}], artifacts: [{name: i, path: /i}]}
      synchronization: {semaphore: {configMapKeyRef: {name: sizes, key: n}}}
      retryStrategy: {limit: "1", expression: "true", backoff: {duration: 1s, factor: "2"}}
      container: {image: i, args: ["{{inputs.parameters.p}}"], volumeMounts: [{name: vol, mountPath: /v}]}
      outputs: {parameters: [{name: o, valueFrom: {path: /o, default: od}}], artifacts: [{name: b, path: /b}]}
    - name: ask
      suspend: {duration: 2s}
      outputs: {parameters: [{name: s, valueFrom: {supplied: {}, default: sd}}]}
    - name: read
      inputs: {parameters: [{name: m}], artifacts: [{name: i, path: /i}]}
      annotations: {workflows.argoproj.io/display-name: shown}
      memoize: {key: k, maxAge: 1h, cache: {configMap: {name: memos}}}
      activeDeadlineSeconds: "100"
      script: {image: i, source: "{{inputs.parameters.m}}"}
      outputs: {artifacts: [{name: y, path: /y, s3: {key: yy}, globalName: gy}]}
    - {name: echo, inputs: {parameters: [{name: t}]}, container: {image: i, args: ["{{inputs.parameters.t}}"]}}
    - {name: set, containerSet: {containers: [{name: main, image: i}, {name: b, image: i, dependencies: [main]}]}}
    """
)

Path = tuple[str | int, ...]


def texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Where texts without tags are in a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from texts(each, (*path, key))
    if isinstance(value, str) and "{{" not in value:
        yield path, value


def checked_before(path: Path) -> bool:
    """Whether Argo looks at it before it fills anything in: what templates, their inputs and outputs are called, and
    which retry policy there is."""
    names = path[-1] == "name" and (len(path) == 3 or path[2] in ("inputs", "outputs"))
    return path[0] == "entrypoint" or names or path[-1] == "retryPolicy"


def known_before(path: Path) -> bool:
    """Whether it has to be known before anything runs, which inputs are not: who calls and depends on whom."""
    return path[-1] in ("name", "template", "target", "depends") or "dependencies" in path


def ran(spec: dict[str, Any]) -> Ran:
    workflow = Workflow({"kind": "Workflow", "metadata": {"name": "wf"}, "spec": spec})
    return run(workflow, config_maps={"sizes": {"data": {"n": "2"}}})


def told(result: Ran, *, inputs: bool) -> dict[str, Any]:
    """All that came of a workflow."""
    nodes = {
        node.name: (node.display_name, node.type, node.phase, node.message, node.outputs, node.memoization_status)
        + ((orjson.loads(bytes(node.inputs or b"null")),) if inputs else ())
        for node in result.workflow.nodes.values()
    }
    metadata = result.workflow.document["metadata"]
    begun = {name: {**document, "inputs": None} for name, document in result.executor.started.items()}
    return {
        "nodes": nodes,
        "status": (result.phase, result.message, result.status.get("outputs")),
        "metadata": (metadata["labels"], metadata["annotations"]),
        "begun": begun,
    }


PLACES = [(path, text) for path, text in texts(SPEC) if not checked_before(path)]


def changed(path: Path, text: str) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    here: Any = spec
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = text
    return spec


def test_as_it_stands() -> None:
    result = ran(copy.deepcopy(SPEC))
    assert (result.phase, result.status["outputs"]["parameters"]) == ("Succeeded", [{"name": "g", "value": "sdod"}])


@pytest.fixture(scope="module")
def expected() -> Ran:
    return ran(copy.deepcopy(SPEC))


@pytest.mark.parametrize(("path", "text"), PLACES, ids=lambda each: ".".join(map(str, each)))
def test_as_a_parameter_of_the_workflow(path: Path, text: str, expected: Ran) -> None:
    spec = changed(path, "{{workflow.parameters.zz}}")
    spec["arguments"] = {"parameters": [{"name": "zz", "value": text}]}
    assert told(ran(spec), inputs=True) == told(expected, inputs=True)


@pytest.mark.parametrize(
    ("path", "text"),
    [(path, text) for path, text in PLACES if path[0] == "templates" and not known_before(path)],
    ids=lambda each: ".".join(map(str, each)),
)
def test_as_a_parameter_of_the_template(path: Path, text: str, expected: Ran) -> None:
    spec = changed(path, "{{inputs.parameters.zz}}")
    inputs = spec["templates"][path[1]].setdefault("inputs", {})
    inputs["parameters"] = [*(inputs.get("parameters") or ()), {"name": "zz", "value": text}]
    assert told(ran(spec), inputs=False) == told(expected, inputs=False)
