"""What a pass over one workflow does, in order: stage, ask the plugins, walk the graph, commit; or leave no trace."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from engine.executors.executor import Result
from engine.graph import Invocation
from engine.graph.locks import LockError
from engine.graph.nodes import TooManyNodes
from engine.model.node import ERROR, FAILED, POD
from engine.model.pace import PIECE, Pieces
from engine.model.status import finished, pending, running, with_progress
from engine.model.workflow import has_ended
from engine.operations import with_spec
from engine.plugins import NodeHooks, Patience, Stopping, WorkflowHooks, may_fail
from engine.reconciling.building import build, enter
from engine.reconciling.keeping import Kept
from engine.reconciling.ledger import Ledger
from engine.reconciling.staging import Staged
from engine.reconciling.walking import Walk
from engine.substitution.variables import MissingParameter
from engine.templates.specification import InvalidMetadata, InvalidSpec, UnknownTemplate
from rpc import FatalError, Method, TransientError
from rpc.logs import Logger

if TYPE_CHECKING:
    from registry import Plugin


class Pass:
    """One pass, and what lives as long as it does. It is dated `now`, in seconds since the epoch; `log` makes what its
    lines go to."""

    def __init__(self, kept: Kept, plugins: Sequence[Plugin], now: float, log: Callable[[], Logger]) -> None:
        self._kept = kept
        self._log = log
        self._plugins = plugins
        self._now = now
        # What a resumed pass makes is dated as the aborted one dated it, so that its questions are the same.
        self._stamp = kept.memory.journal.resumed_at or now
        self._moves = False
        """Whether the walk has been touched."""
        self._taken: dict[str, Result] = {}
        """The reports that it has taken up."""
        self.amended: dict[str, Any] = {}
        """Fields of the spec that were changed from outside since it began."""

    async def make(self, patience: Patience) -> CancelledError | None:
        """Raises `TransientError` or `StoreError` where the pass is aborted: all is as it was before, to the byte.

        Where it commits it does so to the end: a cancellation that came meanwhile is returned, to be raised later.
        """
        ledger, late = self._kept.ledger, None
        try:
            async with patience:
                document = await self._reconcile()
            if ledger is not None:
                late = await self._write(ledger, document)
        except BaseException:
            cancelled = await self._rollback()
            self._kept.memory.abort(self._stamp)
            self._kept.jobs.abort()
            if cancelled is not None:
                raise cancelled from None
            raise
        try:
            return await self._kept.surroundings.pace.to_the_end(self._commit(document)) or late
        finally:
            if ledger is not None:
                ledger.committed()

    async def _reconcile(self) -> dict[str, Any]:
        """The workflow as it is to be committed."""
        old, hooks = self._kept.workflow.document, WorkflowHooks(self._plugins, self._kept.caller)
        document = await self._operate(hooks, running(old, self._stamp))
        return await self._tell(hooks, old, document)

    async def _operate(self, hooks: WorkflowHooks, document: dict[str, Any]) -> dict[str, Any]:
        """What comes of the workflow in this pass; where it is itself at fault it is over."""
        now = self._now
        try:
            document = await hooks.pre_operate(document, self._kept.workflow.nodes)
            return await (self._end(document) if has_ended(document) else self._walk(document))
        except (FatalError, TooManyNodes) as error:
            return await self._fail(document, error)
        except InvalidSpec as error:
            return finished(document, FAILED, f"invalid spec: {error}", now)
        except MissingParameter as error:
            return finished(document, FAILED, f"failed to set global parameters: {error}", now)
        except LockError as error:
            return finished(document, FAILED, f"Failed to acquire the synchronization lock. {error}", now)
        except (UnknownTemplate, InvalidMetadata) as error:
            return finished(document, ERROR, str(error), now)

    async def _tell(self, hooks: WorkflowHooks, old: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        """Tell the plugins; whatever ends the workflow meanwhile, all but those that have failed hear of it."""
        failed = set[str]()
        while True:
            await self._stop(document)
            try:
                told = await hooks.post_operate(old, document, self._kept.workflow.nodes, failed)
            except FatalError as error:
                if document["status"]["phase"] != ERROR:  # else the first reason stands
                    document = await self._fail(document, error)
                failed.add(error.plugin)
                continue
            if has_ended(document) or not has_ended(told):
                return told
            document = await self._end(told)

    async def _stop(self, document: dict[str, Any]) -> None:
        """Tell plugins what they need not execute any more."""
        kept = self._kept
        if not kept.jobs:
            return
        walk, nodes = kept.walk, kept.workflow.nodes
        stopping = Stopping(self._plugins, kept.caller, document, nodes, self._log())
        if has_ended(document):
            await stopping.tell(lambda node_id: True)
        elif walk is not None and walk.begun:
            live = walk.graph.live
            await stopping.tell(lambda node_id: node_id in nodes and node_id not in live)

    async def _fail(self, document: dict[str, Any], error: Exception) -> dict[str, Any]:
        """The workflow is Error, and what the pass did to its nodes is undone."""
        cancelled = await self._rollback()
        if cancelled is not None:
            raise cancelled from None
        return finished(document, ERROR, str(error), self._now)

    async def _end(self, document: dict[str, Any]) -> dict[str, Any]:
        """A plugin has ended the workflow: nothing is started, and what runs ends as if it had been terminated."""
        phase, message = document["status"]["phase"], document["status"].get("message") or ""
        workflow, spec = self._kept.workflow, document["spec"]
        nodes = workflow.nodes
        if nodes:  # by the spec that they were made by, whatever the plugin has made of it
            document, walk = await self._resumed({**document, "spec": workflow.document["spec"]})
            hooks = NodeHooks((), walk.graph, document, self._kept.caller)
            await self._begin(walk, hooks, document)
            walk.graph.set_time(self._now, self._stamp)
            await walk.shut_down("Terminate", message)
            await self._visit(walk, hooks, await self._catch_up(walk, document))
            document = {**await self._sum_up(walk, document), "spec": spec}
        pods = any(node.type == POD for node in nodes.values())
        return finished(document, phase, message, self._now, pods=pods)

    async def _resumed(self, document: dict[str, Any]) -> tuple[dict[str, Any], Walk]:
        """The walk, made anew where it is another spec's, and the document that it is over."""
        kept = self._kept
        walk = kept.walk
        if walk is None or not walk.may_go_on(document["spec"]):
            document, walk = await build(kept, document, self._stamp)
            kept.walk = walk
        walk.look_at(document["metadata"])
        return document, walk

    async def _walk(self, document: dict[str, Any]) -> dict[str, Any]:
        """Go through the graph, where that may be; returns the document with the outcome."""
        kept = self._kept
        document, walk = await self._resumed(document)
        waiting, shutdown = enter(kept, walk), document["spec"].get("shutdown")
        if waiting and shutdown:  # what waits fails at once, be it a node or the workflow
            await walk.shut_down(shutdown, kept.record.why)
            return finished(document, FAILED, walk.graph.closing.stopped(), self._now)
        if waiting:
            return pending(document, waiting)
        hooks = NodeHooks(self._plugins, walk.graph, document, kept.caller)
        if is_suspended(document):
            if walk.graph.exact:  # nobody is asked, and leaves that another process has started are known
                await self._begin(walk, hooks, document)
            return document
        await self._begin(walk, hooks, document)
        await self._visit(walk, hooks, await self._catch_up(walk, document))
        return await self._sum_up(walk, document)

    async def _begin(self, walk: Walk, hooks: NodeHooks, document: dict[str, Any]) -> None:
        """Get to where the last committed pass was."""
        self._moves = True
        if not walk.begun:
            add_parameters = partial(hooks.add_parameters, workers=self._kept.surroundings.workers)
            await walk.begin(document, self._now, self._kept.record.why, add_parameters)

    async def _catch_up(self, walk: Walk, document: dict[str, Any]) -> list[Invocation]:
        """Let everything count that has happened since the last pass; what is to be visited first."""
        kept, graph = self._kept, walk.graph
        graph.set_time(self._now, self._stamp)
        if not kept.has_plugins(self._plugins):  # nodes were put off at the wish of others
            await kept.surroundings.pace.through(graph.no_requeues())
        shutdown = document["spec"].get("shutdown")
        if shutdown:
            await walk.shut_down(shutdown, kept.record.why)
        self._taken = dict(kept.record.reports)  # more may be reported while the plugins are being asked
        return await walk.catch_up(self._taken)

    async def _visit(self, walk: Walk, hooks: NodeHooks, wave: list[Invocation]) -> None:
        """Visit every node that wants it until nothing more can follow."""
        caller, surroundings = self._kept.caller, self._kept.surroundings
        hooks.begin()
        wave = hooks.worth_visiting(wave)
        while wave and walk.entry.outcome is None:
            with surroundings.span("wave", {"oarlock.nodes": len(wave)}):
                await hooks.visit(wave, surroundings.workers)
                caller.patience.rest()
                surroundings.counts.nodes_visited += len(wave)
                await walk.follow(wave)
            hooks.refresh()

    async def _sum_up(self, walk: Walk, document: dict[str, Any]) -> dict[str, Any]:
        """What the nodes have come to, in the workflow's status."""
        graph, outcome, pace = walk.graph, walk.entry.outcome, self._kept.surroundings.pace
        document = with_progress(graph.outputs.merged_into(document), graph.store.progress)
        if outcome is None:
            return document
        await pace.through(walk.entry.close())
        pods = any(node.type == POD for node in graph.store.nodes.values())
        return finished(document, *outcome, self._now, pods=pods)

    async def _write(self, ledger: Ledger, document: dict[str, Any]) -> CancelledError | None:
        """Have the store keep what is about to be committed, before anything follows from that."""
        kept = self._kept
        graph = kept.walk.graph if kept.walk is not None else None
        document = kept.staged(self._amended(document))
        return await ledger.write(Staged(document, graph, self._taken, self._digest, kept.jobs.changes()))

    @cached_property
    def _digest(self) -> str:
        """By which the next process knows its plugins."""
        kept = self._kept
        return kept.record.plugins if self._plugins == kept.plugins else kept.surroundings.digest(self._plugins)

    def _amended(self, document: dict[str, Any]) -> dict[str, Any]:
        return with_spec(document, **self.amended) if self.amended else document

    def _commit(self, document: dict[str, Any]) -> Pieces:
        kept, record = self._kept, self._kept.record
        if kept.ledger is not None:
            record.plugins = self._digest
        kept.plugins = self._plugins
        yield from kept.write_down(document)
        kept.commit(self._amended(document))
        # Not before: a report stands here until its node shows the end, so that nobody can report another one.
        taken, reports = self._taken, record.reports
        while taken:
            ended = []
            for node_id, result in [taken.popitem() for _ in range(min(PIECE, len(taken)))]:
                if reports.get(node_id) is result:
                    del reports[node_id]
                if result.ended:
                    ended.append(node_id)
            record.leaves.difference_update(ended)
            record.presumed.difference_update(ended)
            yield

    async def _rollback(self) -> CancelledError | None:
        return await self._kept.surroundings.pace.to_the_end(self._kept.rollback(moved=self._moves))


def refuse_while_open(plugins: Sequence[Plugin]) -> None:
    """Abort before any work while the breaker of a plugin is open that the pass cannot do without."""
    for plugin in plugins:
        client = plugin.client
        if client.breaker == "open" and not may_fail(plugin) and any(map(client.supports, Method)):
            reason = "it has failed too often, nothing is sent for now (breaker open)"
            raise TransientError(plugin.name, Method.WORKFLOW_PRE_OPERATE, reason)


def is_suspended(document: Mapping[str, Any]) -> bool:
    """Whether nothing is to happen to the workflow but that it may be told to end."""
    return bool(document["spec"].get("suspend")) and not document["spec"].get("shutdown")
