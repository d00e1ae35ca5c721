"""`template.stop`: what plugins execute, and how they are told where it ends otherwise than by their own word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from engine.graph.record import Job
from engine.model.node import Node
from engine.plugins.arguments import job_call, workflows
from engine.plugins.calling import Caller
from engine.plugins.matching import wants
from rpc import FatalError, Method, TransientError
from rpc.fanout import fan_out
from rpc.logs import Logger
from rpc.spans import Subject

if TYPE_CHECKING:
    from registry import Plugin

AT_A_TIME: Final = 128
"""Nodes of which plugins are told at a time, at most; how many calls travel is each plugin's own limit."""


class Stopping:
    """Tells plugins what they need not execute any more, in one pass over the workflow with this document.

    Where one fails for good that is logged, and no node is another one for it.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        caller: Caller,
        document: dict[str, Any],
        nodes: Mapping[str, Node],
        log: Logger,
        *,
        tolerant: bool = False,
    ) -> None:
        self._plugins = plugins
        self._caller = caller
        self._document = document
        self._workflows: Mapping[str, bytes] = {}
        self._nodes = nodes
        self._log = log
        self._tolerant = tolerant

    async def tell(self, is_over: Callable[[str], bool]) -> None:
        """Those that were asked to execute a node, by id, that is over. Raises `TransientError` unless tolerant."""
        if not self._caller.jobs:
            return
        due: list[tuple[str, Job]] = []
        await self._caller.pace.through(self._caller.jobs.find_all(is_over, due))
        if due:
            self._workflows = workflows(self._document, self._plugins)
            await fan_out(self._tell, due, min(len(due), AT_A_TIME))
            self._caller.patience.rest()

    async def _tell(self, due: tuple[str, Job]) -> None:
        node_id, job = due
        jobs, method = self._caller.jobs, Method.TEMPLATE_STOP
        metadata, node = self._document["metadata"], self._nodes.get(node_id) or jobs.sent(node_id)
        for plugin in self._plugins:
            told = job.plugin in ("", plugin.name) and wants(plugin, method, metadata)
            if node is None or not told or not plugin.client.supports(method):
                continue
            call = job_call(self._workflows[plugin.config.payload], bytes(job.template), node, job.attempt)
            subject = Subject(metadata.get("uid", ""), node.id, node.name)
            try:
                await self._caller.ask(plugin, method, subject, call, node)
            except (FatalError, TransientError) as error:
                if isinstance(error, TransientError) and not self._tolerant:
                    raise
                self._log.warning("plugin was not told to stop", name=plugin.name, node=node.name, reason=str(error))
        jobs.over(node_id)
