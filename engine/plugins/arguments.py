"""What plugins are sent about nodes.

The workflow and the template, which many calls have in common, are encoded once; a node is encoded once for all plugins
until one of them changes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson
from xxhash import xxh3_128_digest

from engine.graph import Graph, Invocation
from engine.model.node import Node, encode
from engine.plugins.question import Question
from engine.substitution.text import SubstitutionError
from engine.templates.template import Template
from rpc.batches import Call

if TYPE_CHECKING:
    from registry import Plugin

_SEED: Final = secrets.randbits(64)
"""So that nobody can look for two questions with one digest."""


@lru_cache(maxsize=4096)
def _digest(head: bytes) -> bytes:
    return xxh3_128_digest(head, _SEED)


def digest(about: str, call: Call) -> bytes:
    """128 bits that tell a question from any other: its arguments, and the id of the node that it is about."""
    return xxh3_128_digest(b"".join((_digest(call.head), call.rest, about.encode())), _SEED)


class Arguments:
    """The arguments of the calls of one pass. A ``payload`` is how much a plugin is to be sent of the workflow."""

    def __init__(self, graph: Graph, document: dict[str, Any], plugins: Sequence[Plugin]) -> None:
        self._graph = graph
        self.workflows = workflows(document, plugins)
        self._heads: dict[str, dict[Template | None, tuple[bytes, bytes]]] = {"metadata": {}, "full": {}}

    def node(self, payload: str, invocation: Invocation, node: Node, before: Node | None = None) -> Call:
        """About a node, and what it was `before`. Raises `SubstitutionError` where its template cannot be filled in."""
        template = invocation.template
        head = self._heads[payload].get(template) or self._head(payload, invocation)
        if before is None:
            rest = b',"node":' + encode(node) + b"}"
        else:
            rest = b"".join((b',"old":', encode(before), b',"new":', encode(node), b"}"))
        return Call(head[0], invocation.resolved.name, head[1], rest)

    def renew(self, payload: str, questions: Iterable[Question]) -> list[tuple[Question, SubstitutionError]]:
        """Make the calls of all these questions, as things are now; returns those that cannot be asked, and why."""
        nodes, heads, failed = self._graph.store.nodes, self._heads[payload], []
        for question in questions:
            invocation = question.invocation
            try:
                if question.text is not None:
                    call = self.template(payload, invocation, question.text)
                elif question.before is not None:
                    call = self.node(payload, invocation, nodes[invocation.node_id], question.before)
                else:  # as `node` does it, without a call for each of very many
                    template = invocation.resolved
                    head, text = heads.get(template) or self._head(payload, invocation)
                    call = Call(head, template.name, text, b',"node":' + encode(nodes[invocation.node_id]) + b"}")
            except SubstitutionError as error:
                failed.append((question, error))
                continue
            question.call, question.payload = call, payload
            question.digest = digest(invocation.node_id, call)
        return failed

    def template(self, payload: str, invocation: Invocation, text: bytes) -> Call:
        """About a template alone; ``text`` is its JSON."""
        return Call(_join(self.workflows[payload], text), invocation.resolved.name, text, b"}")

    def job(self, payload: str, invocation: Invocation, text: bytes, node: Node) -> Call:
        """About a template that is to be executed, and the node that this is for."""
        return job_call(self.workflows[payload], text, node, attempt_of(invocation))

    def _head(self, payload: str, invocation: Invocation) -> tuple[bytes, bytes]:
        """``{"workflow":…,"template":…``, what a template's nodes have in common, and the template's text alone."""
        template = invocation.resolved
        text = self._graph.render(invocation)
        head = _join(self.workflows[payload], text), text
        if not template.text.tags:
            self._heads[payload][template] = head
        return head


def workflows(document: Mapping[str, Any], plugins: Iterable[Plugin]) -> dict[str, bytes]:
    """The workflow as JSON, by payload."""
    found = {"metadata": orjson.dumps({"metadata": document["metadata"]})}
    if any(plugin.config.payload == "full" for plugin in plugins):
        found["full"] = orjson.dumps(document)
    return found


def attempt_of(invocation: Invocation) -> int:
    """How many attempts of its node there were before this one."""
    return int(invocation.attempt["retries"]) if invocation.attempt else 0


def job_call(workflow: bytes, template: bytes, node: Node, attempt: int) -> Call:
    """About a node that a plugin is to execute, or not any more; workflow and template are JSON."""
    about = encode(node)[:-1] + b',"attempt":%d}' % attempt
    return Call(_join(workflow, template), node.template_name, template, b',"node":' + about + b"}")


def _join(workflow: bytes, template: bytes) -> bytes:
    return b"".join((b'{"workflow":', workflow, b',"template":', template))
