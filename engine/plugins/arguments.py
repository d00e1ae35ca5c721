"""What plugins are sent about nodes.

The workflow and the template, which many calls have in common, are encoded once; a node is encoded once for all plugins
until one of them changes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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


def digest(about: str, call: Call) -> bytes:
    """128 bits that tell a question from any other: its arguments, and the id of the node that it is about."""
    return _digest(about, _digest_of(call.head), call.rest)


def _digest(about: str, head: bytes, rest: bytes) -> bytes:
    """As above, ``head`` being its digest: that of what very many have in common is found once."""
    return xxh3_128_digest(b"".join((head, rest, about.encode())), _SEED)


def _digest_of(head: bytes) -> bytes:
    return xxh3_128_digest(head, _SEED)


class Head(NamedTuple):
    """What a template's nodes have in common, ``{"workflow":…,"template":…``; its template alone; and its digest."""

    text: bytes
    template: bytes
    digest: bytes


class Arguments:
    """The arguments of the calls of one pass."""

    def __init__(self, graph: Graph, document: dict[str, Any], plugins: Sequence[Plugin]) -> None:
        self._graph = graph
        self.workflows = workflows(document, plugins)
        self._heads: dict[str, dict[Template, Head]] = {"metadata": {}, "full": {}}

    def renew(self, payload: str, questions: Iterable[Question]) -> list[tuple[Question, SubstitutionError]]:
        """Make the calls of all these questions, as things are now; returns those that cannot be asked, and why.

        A ``payload`` is how much a plugin is to be sent of the workflow.
        """
        nodes, heads, failed = self._graph.store.nodes, self._heads[payload], []
        for question in questions:
            invocation, rest = question.invocation, b"}"
            template, node_id = invocation.resolved, invocation.node_id
            try:
                if question.text is not None:
                    head = self._headed(payload, question.text)
                else:
                    head = heads.get(template) or self._head(payload, invocation)
                    node = encode(nodes[node_id])
                    if question.before is None:
                        rest = b',"node":' + node + b"}"
                    else:
                        rest = b"".join((b',"old":', encode(question.before), b',"new":', node, b"}"))
            except SubstitutionError as error:
                failed.append((question, error))
                continue
            question.call, question.payload = Call(head.text, template.name, head.template, rest), payload
            question.digest = _digest(node_id, head.digest, rest)
        return failed

    def job(self, payload: str, invocation: Invocation, text: bytes, node: Node) -> Call:
        """About a template that is to be executed, and the node that this is for."""
        return job_call(self.workflows[payload], text, node, attempt_of(invocation))

    def _head(self, payload: str, invocation: Invocation) -> Head:
        template = invocation.resolved
        head = self._headed(payload, self._graph.render(invocation))
        if not template.text.tags:
            self._heads[payload][template] = head
        return head

    def _headed(self, payload: str, template: bytes) -> Head:
        text = _join(self.workflows[payload], template)
        return Head(text, template, _digest_of(text))


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
