"""From a workflow's document to a walk over its graph."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import orjson

from engine.graph import Graph
from engine.graph.admission import Admission
from engine.graph.locks import lock_requests
from engine.graph.nodes import NodeStore
from engine.model.large import LARGE
from engine.reconciling.keeping import Kept, priority_of
from engine.reconciling.walking import Walk
from engine.substitution.variables import workflow_scope
from engine.templates.library import Library, has_many_calls
from engine.templates.specification import filled_in, spec_in_force, with_metadata
from engine.templates.storing import with_stored
from engine.validation import validate


async def build(kept: Kept, document: dict[str, Any], stamp: float) -> tuple[dict[str, Any], Walk]:
    """A walk over the spec as it is, and the document with what that says of metadata.

    Where that takes long it is made in another thread: nobody changes meanwhile what is read there. Raises
    `InvalidSpec`, `UnknownTemplate`, `MissingParameter` and `InvalidMetadata`.
    """
    kept.locks.begin_anew()
    library = kept.look_up()
    spec = document["spec"]
    large = library.large or has_many_calls(spec) or len(kept.workflow.nodes) * 100 + len(orjson.dumps(spec)) > LARGE
    if not large:
        document, walk = _build(kept, library, document, stamp)
    else:
        document, walk = await asyncio.to_thread(_build, kept, library, document, stamp, compiled=True)
    kept.locks.priority = priority_of(document)
    kept.workflow.undo = walk.graph.store.undo
    return document, walk


def _build(
    kept: Kept, library: Library, document: dict[str, Any], stamp: float, *, compiled: bool = False
) -> tuple[dict[str, Any], Walk]:
    workflow, surroundings = kept.workflow, kept.surroundings
    spec = spec_in_force(document, library)
    context = library.local(spec)
    validate(document, context)
    if compiled:
        context.compile()
    if not workflow.phase:
        document = with_stored(document, spec, context)
    scope = workflow_scope(document, spec, kept.config_maps, stamp)
    spec = filled_in(spec, scope)
    if not workflow.phase:
        document = with_metadata(document, spec, scope)
    store = NodeStore(workflow.name, workflow.nodes, surroundings.max_nodes)
    graph = Graph(store, scope, spec, kept.record, kept.locks, surroundings.memos)
    sizes = surroundings.templates.shelves.config_maps
    locking = partial(lock_requests, namespace=workflow.namespace, config_maps=sizes)
    admission = Admission(graph, spec, workflow.namespace, kept.config_maps, locking)
    return document, Walk(admission, document, spec, context, surroundings.pace)


def enter(kept: Kept, walk: Walk) -> str:
    """Take the locks that the workflow asks for as a whole; why it may not begin yet, empty where it has them.

    Raises `LockError`.
    """
    synchronization = walk.spec.get("synchronization")
    if not synchronization:
        return ""
    config_maps = kept.surroundings.templates.config_maps
    requests = lock_requests(synchronization, kept.workflow.namespace, config_maps)
    return "" if not requests or kept.locks.enter(requests) else kept.locks.explain(requests)[0]
