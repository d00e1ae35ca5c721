"""Which outputs of leaves are read, through arguments and the outputs of what is between."""

from __future__ import annotations

import yaml

from engine.templates.reads import Reader, reads

LEAF = "{name: leaf, container: {image: i}}"


def found(*templates: str, kind: str = "Workflow") -> dict[tuple[str, str], list[Reader]]:
    """By the template of the leaf, all in one namespace, and the output."""
    document = {
        "kind": kind,
        "metadata": {"name": "w"},
        "spec": {"templates": [yaml.load(text, yaml.CSafeLoader) for text in templates]},
    }
    return {(output.template, output.name): readers for output, readers in reads([document]).items()}


def test_a_loop_over_a_result_and_a_condition_on_it() -> None:
    main = """
        name: main
        steps:
        - [{name: a, template: leaf}, {name: b, template: other}]
        - - {name: c, template: leaf, withParam: "{{ steps.a.outputs.result }}"}
          - {name: d, template: leaf, when: "{{=steps['b'].outputs.result == 'x'}}"}
        """
    assert found(main, LEAF, "{name: other, script: {}}") == {
        ("leaf", "result"): [Reader("withParam of c", True)],
        ("other", "result"): [Reader("when of d", False)],
    }


def test_through_arguments_and_outputs_of_bodies() -> None:
    main = """
        name: main
        dag:
          tasks:
          - {name: make, template: inner}
          - name: use
            template: loop
            arguments: {parameters: [{name: list, value: "{{tasks.make.outputs.parameters.all}}"}]}
        """
    inner = """
        name: inner
        steps: [[{name: a, template: leaf}]]
        outputs: {parameters: [{name: all, valueFrom: {parameter: "{{steps.a.outputs.parameters.p}}"}}]}
        """
    loop = """
        name: loop
        inputs: {parameters: [{name: list}]}
        steps: [[{name: turn, template: leaf, withParam: "{{inputs.parameters.list}}"}]]
        """
    assert set(found(main, inner, loop, LEAF)["leaf", "parameters.p"]) == {
        Reader("arguments of use", False),
        Reader("outputs of inner", False),
        Reader("withParam of turn", True),
    }


def test_the_list_of_a_loop_and_what_an_expression_makes_are_no_lists_of_a_leaf() -> None:
    main = """
        name: main
        steps:
        - [{name: a, template: leaf, withItems: [1]}, {name: b, template: other}]
        - - {name: c, template: leaf, withParam: "{{steps.a.outputs.result}}"}
          - {name: d, template: leaf, withParam: "{{=toJson(jsonpath(steps.b.outputs.result, '$.x'))}}"}
        """
    readers = found(main, LEAF, "{name: other, script: {}}").values()
    assert not any(reader.looped for each in readers for reader in each)


def test_exit_codes_inline_templates_and_global_names() -> None:
    main = """
        name: main
        steps:
        - - {name: a, inline: {name: own, container: {image: i}, outputs: {parameters: [{name: p, globalName: g}]}}}
        - - {name: c, template: leaf, when: "{{steps.a.exitCode}} == 0 && {{workflow.outputs.parameters.g}} == x"}
        """
    when = [Reader("when of c", False)]
    assert found(main, LEAF) == {("own", "exitCode"): when, ("own", "parameters.p"): when}


def test_templates_that_call_each_other_end() -> None:
    one = """
        name: one
        inputs: {parameters: [{name: p}]}
        steps: [[{name: a, template: one, arguments: {parameters: [{name: p, value: "{{inputs.parameters.p}}"}]}}]]
        """
    assert found(one) == {}
