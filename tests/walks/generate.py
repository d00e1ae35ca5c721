"""Random workflows with everything that a walk has to remember, and plugins that meddle with them."""

from __future__ import annotations

from random import Random
from typing import Any

Document = dict[str, Any]

BODIES = ("steps", "dag")
LEAVES = ("container", "script", "http", "suspend", "plugin", "containerSet")
CONDITIONS = (
    "{}",
    "{}.Succeeded",
    "({}.Succeeded || {}.Failed)",
    "({}.Failed || {}.Omitted)",
    "{}.Daemoned",
    "!{}.Failed",
)


class Generator:
    """One workflow, drawn from `dice`. ``deep`` is how many levels of templates there are below the first."""

    def __init__(self, dice: Random, *, deep: int = 2) -> None:
        self.dice = dice
        self.templates: list[Document] = []
        self.deep = deep

    def often(self, chance: float) -> bool:
        return self.dice.random() < chance

    def pick(self, *choices: Any) -> Any:
        return self.dice.choice(choices)

    def workflow(self) -> Document:
        """The whole document."""
        main = self.body("main", self.deep)
        spec: Document = {
            "entrypoint": main,
            "arguments": {"parameters": [{"name": "size", "value": str(self.dice.randrange(4))}]},
        }
        if self.often(0.3):
            spec["onExit"] = self.leaf("bye") if self.often(0.6) else self.body("bye", 0)
        if self.often(0.25):
            spec["parallelism"] = self.dice.randint(1, 3)
        if self.often(0.2):
            spec["hooks"] = {
                f"h{n}": {"expression": self.pick(*_WORKFLOW_STATES), "template": self.leaf(f"hook-{n}")}
                for n in range(self.dice.randint(1, 2))
            }
        if self.often(0.1):
            spec["activeDeadlineSeconds"] = self.dice.randint(3, 12)
        if self.often(0.1):
            spec["synchronization"] = {"mutexes": [{"name": "whole"}]}
        spec["templates"] = self.templates
        return {"kind": "Workflow", "metadata": {"name": "w", "uid": "u"}, "spec": spec}

    # Leaves

    def leaf(self, name: str) -> str:
        """A new leaf template; returns its name."""
        kind = self.pick("container", "container", *LEAVES)
        text = self.pick("run", "run", "{{inputs.parameters.p}}", "{{added}}", "{{workflow.parameters.size}}")
        template: Document = {"name": name, "inputs": {"parameters": [{"name": "p", "value": "none"}]}}
        match kind:
            case "container":
                template["container"] = {"image": "i", "args": [text]}
            case "script":
                template["script"] = {"image": "i", "source": text}
            case "http":
                template["http"] = {"url": f"http://nowhere/{text}"}
            case "suspend":
                template["suspend"] = {"duration": str(self.dice.randint(1, 6))}
            case "plugin":
                template["plugin"] = {"mine": {"text": text}}
            case "containerSet":
                containers: list[Document] = [{"name": "x", "image": "i"}, {"name": "main", "image": "i"}]
                containers[1]["dependencies"] = ["x"]
                template["containerSet"] = {"containers": containers}
        if kind != "suspend" and self.often(0.4):
            output = {"name": "o", "valueFrom": {"path": "/o", "default": "0"}}
            if self.often(0.3):
                output["globalName"] = self.pick("g", "h")
            template["outputs"] = {"parameters": [output]}
        if kind == "container" and self.often(0.2):
            template["daemon"] = True
        if kind in ("container", "script") and self.often(0.1):
            template["activeDeadlineSeconds"] = self.dice.randint(1, 5)
        self._limits(template)
        self.templates.append(template)
        return name

    def _limits(self, template: Document) -> None:
        """What a leaf and a body may have alike."""
        if self.often(0.25):
            strategy: Document = {"limit": self.dice.randint(0, 2), "retryPolicy": self.pick("Always", "OnFailure")}
            if self.often(0.4):
                strategy["backoff"] = {"duration": str(self.dice.randint(1, 3)), "factor": 2}
                if self.often(0.3):
                    strategy["backoff"]["maxDuration"] = str(self.dice.randint(2, 9))
            if self.often(0.2):
                strategy["expression"] = "asInt(lastRetry.exitCode) >= 0"
            template["retryStrategy"] = strategy
        if self.often(0.15):
            lock = {"name": self.pick("one", "two")}
            if self.often(0.3):
                lock = {"configMapKeyRef": {"name": "sizes", "key": self.pick("one", "two")}}
                template["synchronization"] = {"semaphores": [lock]}
            else:
                template["synchronization"] = {"mutexes": [lock]}
        if self.often(0.12):
            cache = {"configMap": {"name": "cache"}}
            template["memoize"] = {"key": self.pick("k1", "k2-{{inputs.parameters.p}}"), "cache": cache}
        if self.often(0.1) and not {"steps", "dag", "suspend"} & template.keys():
            template["timeout"] = f"{self.dice.randint(1, 6)}s"

    # Bodies

    def body(self, name: str, depth: int) -> str:
        """A new template of steps or a DAG, with those that it calls; returns its name."""
        template: Document = {"name": name, "inputs": {"parameters": [{"name": "p", "value": "none"}]}}
        kind = self.pick(*BODIES)
        calls = [self._call(name, number, kind, depth) for number in range(self.dice.randint(1, 4))]
        if kind == "steps":
            template["steps"] = self._groups(calls)
        else:
            template["dag"] = {"tasks": self._tasks(calls)}
            if self.often(0.15):
                template["dag"]["failFast"] = False
        if self.often(0.2):
            template["failFast"] = True
        if self.often(0.2):
            template["parallelism"] = self.dice.randint(1, 2)
        self._limits(template)
        self.templates.append(template)
        return name

    def _call(self, name: str, number: int, kind: str, depth: int) -> Document:
        called = f"{name}-{number}"
        template = self.body(called, depth - 1) if depth and self.often(0.4) else self.leaf(called)
        call: Document = {"name": f"{'abcd'[number]}", "template": template}
        if self.often(0.3):
            call |= self.pick(
                {"withItems": ["x", "y"]},
                {"withItems": [1, 2, 3]},
                {"withSequence": {"count": "{{workflow.parameters.size}}"}},
                {"withItems": []},
            )
        value = self.pick("one", "two", "{{item}}" if "withItems" in call else "three")
        call["arguments"] = {"parameters": [{"name": "p", "value": value}]}
        if self.often(0.1):
            call["when"] = self.pick("1 == 2", "{{workflow.parameters.size}} > 1")
        if self.often(0.25):
            call["hooks"] = self._hooks(
                called, f"{kind}.{call['name']}" if kind == "steps" else f"tasks.{call['name']}"
            )
        return call

    def _hooks(self, called: str, prefix: str) -> Document:
        hooks: Document = {}
        if self.often(0.6):
            hooks["exit"] = {"template": self.leaf(f"{called}-exit")}
        if self.often(0.5):
            state = self.pick("Running", "Succeeded", "Failed")
            expression = f'{prefix}.status == "{state}"'
            hooks["some"] = {"expression": expression, "template": self.leaf(f"{called}-some")}
        return hooks

    def _groups(self, calls: list[Document]) -> list[list[Document]]:
        groups: list[list[Document]] = []
        for call in calls:
            if groups and self.often(0.5):
                groups[-1].append(call)
            else:
                groups.append([call])
            if self.often(0.2):
                call["continueOn"] = {"failed": True, "error": self.often(0.5)}
        return groups

    def _tasks(self, calls: list[Document]) -> list[Document]:
        enhanced = self.often(0.6)
        for number, call in enumerate(calls):
            names = [each["name"] for each in calls[:number]]
            above = sorted(self.dice.sample(names, min(len(names), self.dice.randint(0, 2))))
            if above and enhanced:
                call["depends"] = " && ".join(self.pick("{}", *CONDITIONS).replace("{}", each) for each in above)
            elif above:
                call["dependencies"] = above
            if not enhanced and self.often(0.2):
                call["continueOn"] = {"failed": True}
        return calls


_WORKFLOW_STATES = (
    'workflow.status == "Running"',
    'workflow.status == "Failed"',
    'workflow.status == "Succeeded"',
    'workflow.status != "Running"',
)


def generate(seed: int) -> Document:
    """The workflow of a seed."""
    return Generator(Random(seed), deep=Random(~seed).choice((1, 2, 2))).workflow()
