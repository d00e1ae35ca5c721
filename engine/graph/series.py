"""The turns of a loop that nothing holds back: what they have in common is decided once, each only gets its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from engine.graph.arguments import BindingError, bind
from engine.graph.ends import refuse
from engine.graph.expansion import Call
from engine.graph.graph import Graph, Invoking
from engine.graph.invocation import Invocation, Parent
from engine.graph.nodes import PROGRESS, relative_name
from engine.model.ids import ids_after
from engine.model.node import PENDING, Node
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError
from engine.templates.template import Step, Template

Document = Mapping[str, Any]

AT_A_TIME: Final = 256
"""Turns whose ids are found together."""


class Series:
    """Calls of one `template` that `parent` makes inside `boundary`; the names of their nodes begin with `prefix`.

    ``reference`` is what is still needed of each call once its arguments are bound.
    """

    def __init__(
        self,
        graph: Graph,
        config_maps: Mapping[str, Document],
        parent: Parent,
        boundary: Invocation,
        prefix: str,
        template: Template,
        reference: Document,
    ) -> None:
        self.graph = graph
        self._config_maps = config_maps
        self._parent = parent
        self._boundary = boundary
        self._prefix = prefix
        self._display = relative_name(prefix, boundary.name)
        self._template = template
        self._context = boundary.resolved.context
        self._scope = Scope(graph.scope, template.fixed)
        self._binds = bool(template.parameters or template.artifacts)
        _, self._variables = (None, {}) if self._binds else bind(template, {}, self._scope, config_maps)
        self._reference = reference

    def make(self, key: int, calls: Sequence[Call]) -> int:
        """Give each call its node; the first is child number `key`. How many were made: none after one that raises."""
        ids = ids_after(self.graph.store.workflow, self._prefix, [call.suffix for call in calls])
        for made, (call, node_id) in enumerate(zip(calls, ids, strict=True)):
            if not self._make(key + made, call, node_id):
                return made + 1
        return len(calls)

    def _make(self, key: int, call: Call, node_id: str) -> bool:
        graph, template, variables, inputs = self.graph, self._template, self._variables, None
        name = self._prefix + call.suffix
        invocation = Invocation(self._parent, key, name, self._reference, self._context, self._boundary)
        invocation.template = template
        if self._binds:
            try:
                inputs, variables = bind(template, call.document.get("arguments") or {}, self._scope, self._config_maps)
            except (BindingError, SubstitutionError) as error:
                refuse(graph, invocation, str(error))
                return False
        reference = self._reference
        node = graph.store.add(
            Node(
                id=node_id,
                name=name,
                display_name=self._display + call.suffix,
                type=template.node_type,
                template_name=reference["template"],
                template_ref=reference["templateRef"],
                template_scope=graph.template_scope(self._context),
                phase=PENDING,
                boundary_id=self._boundary.node_id,
                progress=PROGRESS.get(template.node_type, ""),
                inputs=inputs,
            )
        )
        invocation.variables = variables
        invocation.node_id = node.id
        invocation.order = graph.store.made
        self._parent.child_created(key, node.id)
        graph.room.count(invocation, node, 1)
        graph.queue(invocation)
        return True


class Looping(Invoking, Protocol):
    """What bodies have that loop: somebody above them (`engine.graph.admission`) who knows what holds a call back."""

    def series(self, parent: Parent, boundary: Invocation, prefix: str, step: Step) -> Series | None:
        """How to make all turns of a step's loop, whose names begin with `prefix`; None where each is to be invoked."""
        ...
