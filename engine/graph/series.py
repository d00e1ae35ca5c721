"""The turns of a loop that nothing holds back: what they have in common is decided once, each only gets its node.

Of those that were there before this walk each is invoked, to find what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.graph.arguments import BindingError, bind
from engine.graph.ends import refuse
from engine.graph.expansion import Call
from engine.graph.graph import Graph, Invoking
from engine.graph.invocation import Invocation, Parent, Turn
from engine.graph.nodes import PROGRESS, relative_name
from engine.model.ids import ids_after
from engine.model.node import PENDING, Node
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError
from engine.templates.template import Step, Template

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
        parent: Many,
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
        self.kind = Turn if template.plain_leaf and not template.daemon else Invocation
        """What each of them is."""
        self.at_once = graph.store.is_new and not graph.restoring
        """Whether all of them are new, so that they are made together (`make`)."""

    def make(self, key: int, calls: Sequence[Call]) -> int:
        """Give each call its node; the first is child number `key`. How many were made: none after one that raises."""
        graph, template, prefix, display = self.graph, self._template, self._prefix, self._display
        parent, boundary, reference, context = self._parent, self._boundary, self._reference, self._context
        kind, variables, inputs, binds = self.kind, self._variables, None, self._binds
        template_name, template_ref = reference["template"], reference["templateRef"]
        scope = graph.template_scope(context)
        type_, boundary_id, progress = template.node_type, boundary.node_id, PROGRESS.get(template.node_type, "")
        ids = ids_after(graph.store.workflow, prefix, [call.suffix for call in calls])
        nodes: list[Node] = []
        made: list[Invocation] = []
        refused, order = None, graph.store.made
        for number, (call, node_id) in enumerate(zip(calls, ids, strict=True), key):
            name = prefix + call.suffix
            if binds:
                try:
                    inputs, variables = self._bind(call)
                except (BindingError, SubstitutionError) as error:
                    invocation = Invocation(parent, number, name, reference, context, boundary, template=template)
                    refused = invocation, str(error)
                    break
            order += 1
            made.append(
                kind(
                    parent,
                    number,
                    name,
                    reference,
                    context,
                    boundary,
                    node_id=node_id,
                    order=order,
                    template=template,
                    variables=variables,
                )
            )
            nodes.append(
                Node(
                    id=node_id,
                    name=name,
                    display_name=display + call.suffix,
                    type=type_,
                    template_name=template_name,
                    template_ref=template_ref,
                    template_scope=scope,
                    phase=PENDING,
                    boundary_id=boundary_id,
                    progress=progress,
                    inputs=inputs,
                )
            )
        if nodes:
            node_ids = graph.store.add_all(nodes)
            if node_ids != ids[: len(made)]:  # some of these are taken
                for invocation, node_id in zip(made, node_ids, strict=True):
                    invocation.node_id = node_id
            graph.queue_all(made)
            parent.children_created(key, node_ids)
            graph.room.count(made[0], nodes[0], len(nodes))
        if refused is not None:
            refuse(graph, *refused)
            return len(made) + 1
        return len(made)

    def _bind(self, call: Call) -> tuple[msgspec.Raw | None, dict[str, Any]]:
        return bind(self._template, call.document.get("arguments") or {}, self._scope, self._config_maps)


class Many(Parent, Protocol):
    """Whoever waits for a loop's turns: a step group, a looped task."""

    def children_created(self, key: int, node_ids: Sequence[str]) -> None:
        """Children have their nodes, the first of them as number `key`: what `child_created` says of each."""
        ...


class Looping(Invoking, Protocol):
    """What bodies have that loop: somebody above them (`engine.graph.admission`) who knows what holds a call back."""

    def series(self, parent: Many, boundary: Invocation, prefix: str, step: Step) -> Series | None:
        """What is the same for all turns of a step's loop, whose names begin with `prefix`; None where something may
        hold them back."""
        ...
