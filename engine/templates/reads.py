"""Which outputs of leaves a workflow reads, and where: what a simulated run has to make up, or somebody has to give.

Nothing is run for that. References are followed through arguments and through the outputs of steps and DAGs, down to
the templates of leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import orjson

from engine.model.naming import DEFAULT
from engine.shape import Document

_NAME: Final = r"""(?:\.([\w-]+)|\[\\?['"]([^'"\\\]]+)\\?['"]\])"""
_OUTPUT: Final = re.compile(rf"(?:steps|tasks){_NAME}\.(?:outputs\.(result|parameters{_NAME})|(exitCode))")
_INPUT: Final = re.compile(rf"inputs\.parameters{_NAME}")
_GLOBAL: Final = re.compile(rf"workflow\.outputs\.parameters{_NAME}")
_BARE: Final = re.compile(r"""\{\{=?\s*[\w.\[\]'"-]+\s*\}\}""")
"""A tag that stands for a value as it is, with nothing done to it."""


class Output(NamedTuple):
    """An output of a leaf: the namespace and the name of its template, and ``result``, ``exitCode`` or
    ``parameters.NAME``. A template that is cluster-scoped has no namespace."""

    namespace: str
    template: str
    name: str


class Reader(NamedTuple):
    """What reads an output: a field of a step or task, or the outputs of a template; ``looped`` if it loops over it."""

    place: str
    looped: bool


class _Body(NamedTuple):
    """A template with steps or tasks, by name what each is, and what it calls."""

    template: Document
    steps: dict[str, Document]
    calls: dict[str, Document]


def reads(documents: Iterable[Document]) -> dict[Output, list[Reader]]:
    """The outputs that are read in Workflows and WorkflowTemplates, in the order in which they are come upon."""
    return _Reading([*documents]).found()


class _Reading:
    def __init__(self, documents: list[Document]) -> None:
        self.bodies: dict[int, _Body] = {}
        self.callers: dict[int, list[tuple[_Body, Document]]] = {}
        self.homes: dict[int, str] = {}
        """The namespaces of templates."""
        self.globals: dict[str, list[Output]] = {}
        self.known = {
            (*_place(document), document["metadata"].get("name")): _templates(document) for document in documents
        }
        for document in documents:
            for template in _templates(document).values():
                self._add(template, _templates(document), _place(document)[1])

    def _add(self, template: Document, local: Mapping[str, Document], namespace: str) -> None:
        self.homes[id(template)] = namespace
        groups = [group or () for group in template.get("steps") or ()]
        steps = [*(step for group in groups for step in group), *((template.get("dag") or {}).get("tasks") or ())]
        if steps:
            body = self.bodies[id(template)] = _Body(template, {step["name"]: step for step in steps}, {})
            for step in steps:
                inline, reference = step.get("inline"), step.get("templateRef") or {}
                place = (_CLUSTER, "") if reference.get("clusterScope") else ("WorkflowTemplate", namespace)
                where = self.known.get((*place, reference.get("name")), {}) if reference else local
                called = inline or where.get(reference.get("template") or step.get("template") or "")
                if called is not None:
                    body.calls[step["name"]] = called
                    self.callers.setdefault(id(called), []).append((body, step))
                if inline:
                    self._add(inline, local, namespace)
        for parameter in (template.get("outputs") or {}).get("parameters") or ():
            if parameter.get("globalName") and not steps:
                output = Output(namespace, template.get("name") or "", f"parameters.{parameter['name']}")
                self.globals.setdefault(parameter["globalName"], []).append(output)

    def found(self) -> dict[Output, list[Reader]]:
        found: dict[Output, dict[Reader, None]] = {}
        for body in self.bodies.values():
            texts = [
                (f"{field} of {name}", field, _text(value))
                for name, step in body.steps.items()
                for field, value in step.items()
                if field not in ("inline", "name")
            ]
            texts.append((f"outputs of {body.template.get('name') or ''}", "", _text(body.template.get("outputs"))))
            for place, field, text in texts:
                looped = field == "withParam" and _BARE.fullmatch(text.strip()) is not None
                for output, whole in self._sources(body, text, set()):
                    found.setdefault(output, {})[Reader(place, looped and whole)] = None
        return {output: [*readers] for output, readers in found.items()}

    def _sources(self, body: _Body, text: str, seen: set[tuple[int, str]]) -> Iterator[tuple[Output, bool]]:
        """The outputs that a text in a body refers to, and whether one is read as it is and not as a loop's list."""
        if (id(body.template), text) in seen:
            return
        seen.add((id(body.template), text))
        for step, quoted, output, name, key, exit_code in _OUTPUT.findall(text):
            called = body.calls.get(step or quoted)
            whole = not any((body.steps.get(step or quoted) or {}).get(loop) for loop in _LOOPS)
            within = self.bodies.get(id(called))
            if within is not None:
                for parameter in (within.template.get("outputs") or {}).get("parameters") or ():
                    if parameter["name"] == (name or key):
                        for source, bare in self._sources(within, _text(parameter.get("valueFrom")), seen):
                            yield source, bare and whole
            elif called is not None:
                kind = exit_code or ("result" if output == "result" else f"parameters.{name or key}")
                yield Output(self.homes[id(called)], called.get("name") or "", kind), whole
        for name, key in _GLOBAL.findall(text):
            yield from ((output, True) for output in self.globals.get(name or key, ()))
        for name, key in _INPUT.findall(text):
            for caller, step in self.callers.get(id(body.template), ()):
                for argument in (step.get("arguments") or {}).get("parameters") or ():
                    if argument["name"] == (name or key):
                        yield from self._sources(caller, _text(argument), seen)


_LOOPS: Final = ("withItems", "withParam", "withSequence")
_CLUSTER: Final = "ClusterWorkflowTemplate"


def _place(document: Document) -> tuple[str | None, str]:
    """The kind of a document, and its namespace."""
    kind = document.get("kind")
    return kind, "" if kind == _CLUSTER else document["metadata"].get("namespace") or DEFAULT


def _templates(document: Document) -> dict[str, Document]:
    return {each.get("name") or "": each for each in (document.get("spec") or {}).get("templates") or ()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
