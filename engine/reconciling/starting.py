"""Between passes: the executor is told which leaves to start and which to stop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final

from engine.executors.executor import Adopting, Executor, Result, StartingMany
from engine.executors.simulated import SimulatedExecutor
from engine.graph import Invocation
from engine.model.node import ERROR, SUSPEND, Node
from engine.model.pace import Pieces
from engine.model.workflow import Workflow
from engine.reconciling.active import Active
from engine.reconciling.run import Run
from engine.shape import Document
from engine.substitution.text import SubstitutionError
from rpc.logs import Logger

_METHODS: Final = {"start": ("workflow", "template", "node"), "stop": ("workflow", "node")}


def check_executor(executor: object) -> None:
    """Raises `TypeError` for what is no `Executor`."""
    if isinstance(executor, type):
        raise TypeError(f"executor: expected an object with start and stop, got the class {executor.__name__}")
    name = type(executor).__name__
    for method, arguments in _METHODS.items():
        said = f"executor: expected {method}({', '.join(arguments)})"
        function = getattr(executor, method, None)
        if not callable(function):
            raise TypeError(f"{said}, {name} has none")
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{said} that is no `async def`, as {name} has it: begin a task, and report what comes of it"
            )
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise TypeError(f"{said}, {name} has one with other arguments: {error}") from None
        except ValueError:  # what is written in C need not have any
            continue


class Leaves:
    """Hands out leaves; what an executor says at once is noted for the next pass."""

    def __init__(self, active: Active, executor: Executor) -> None:
        self.started = 0
        """How often the executor was given one to start."""
        self._active = active
        self._executor = executor
        self._adopting = executor if isinstance(executor, Adopting) else None
        self._many = executor if isinstance(executor, StartingMany) else None

    def follow(self, run: Run) -> Pieces:
        """Do what the committed pass decided, so that an aborted one has started nothing."""
        workflow = run.workflow
        for stopped in run.take_stops():
            if stopped is not None and not run.parting:
                self.stop(workflow, workflow.nodes[stopped], run.log)
            yield
        for found in run.take_found():
            if found is not None:
                yield from self._start(run, [found], self._adopting)
            yield
        for invocations in run.take_starts():
            yield from self._start(run, invocations)
        if run.has_news:  # some have ended at once
            self._active.wake(workflow.key)
        if workflow.finished:
            self.let_go(workflow)
        yield from run.over()

    def _start(self, run: Run, invocations: Iterable[Invocation], adopting: Adopting | None = None) -> Pieces:
        """Have leaves started, unless they are adopted."""
        for template, nodes in self._alike(run, invocations):
            self._active.started(run.workflow, *[node.id for node in nodes])
            for some in [nodes] if self._many is not None else [[node] for node in nodes]:
                yield
                self._begin(run, template, some, adopting)

    def _alike(self, run: Run, invocations: Iterable[Invocation]) -> Iterator[tuple[Document, list[Node]]]:
        """The leaves that are run, those together that share a template."""
        all_nodes, nodes, shared = run.workflow.nodes, list[Node](), None
        for invocation in invocations:
            node = all_nodes[invocation.node_id]
            if not self._is_run(node):
                run.drop(node.id)
                continue
            try:
                template = run.template_of(invocation)
            except SubstitutionError as error:  # what is put into it may be too large
                run.report((node.id,), Result(ERROR, str(error)))
                continue
            except Exception as error:
                run.report((node.id,), failed(error, node, run.log))
                continue
            if shared is not None and template is not shared:
                yield shared, nodes
                nodes = []
            shared = template
            nodes.append(node)
        if shared is not None:
            yield shared, nodes

    def _begin(self, run: Run, template: Document, nodes: Sequence[Node], adopting: Adopting | None) -> None:
        """Have a leaf started, or many where the executor takes them so."""
        workflow, first, result = run.workflow, nodes[0], None
        if run.parting:
            for node in nodes:
                run.drop(node.id)
            return
        try:
            if adopting is not None and adopting.adopt(workflow, template, first):
                return
            self.started += len(nodes)
            if self._many is not None:
                self._many.start_all(workflow, template, nodes)
            else:
                result = started(self._executor, workflow, template, first)
        except Exception as error:
            result = failed(error, first, run.log)
        # An end may have been reported meanwhile.
        if result is not None and (left := [node.id for node in nodes if not run.has_ended(node.id)]):
            run.report(left, result)

    def stop(self, workflow: Workflow, node: Node, log: Logger) -> None:
        """Have a leaf stopped; nothing is to be heard of it any more."""
        if not self._is_run(node):
            return
        self._active.stopped(workflow, node.id)
        stop(self._executor, workflow, node, log)

    def stop_all(self, run: Run) -> Pieces:
        """Have all leaves of a workflow stopped."""
        for node_id in (yield from run.take_leaves()):
            if not run.has_ended(node_id):
                self.stop(run.workflow, run.workflow.nodes[node_id], run.log)
            yield

    def let_go(self, workflow: Workflow) -> None:
        """A simulated executor need not remember any longer how a workflow's leaves were to end."""
        if isinstance(self._executor, SimulatedExecutor):
            self._executor.forget(workflow)

    def _is_run(self, node: Node) -> bool:
        """Whether there is anything to be run: only a simulated executor makes something of a suspend."""
        return node.type != SUSPEND or isinstance(self._executor, SimulatedExecutor)


def started(executor: Executor, workflow: Workflow, template: Document, node: Node) -> Result | None:
    """Have a leaf started: what came of it at once. Raises what the executor does, and `TypeError` for what is none."""
    result = executor.start(workflow, template, node)
    if result is not None and type(result) is not Result:
        _check_result("start", result, Result)
    return result


def failed(error: Exception, node: Node, log: Logger) -> Result:
    """What a leaf has come to that the executor failed to start."""
    log.error("executor failed to start a leaf", node=node.id, exc_info=error)
    return Result(ERROR, f"{type(error).__name__}: {error}")


def stop(executor: Executor, workflow: Workflow, node: Node, log: Logger) -> None:
    """Have a leaf stopped."""
    try:
        end: Callable[[Workflow, Node], object] = executor.stop
        _check_result("stop", end(workflow, node))
    except Exception:
        log.exception("executor failed to stop a leaf", node=node.id)


def _check_result(method: str, result: object, *types: type) -> None:
    if result is None or isinstance(result, types):
        return
    if isinstance(result, Coroutine):
        result.close()
    expected = "None" if not types else "a Result or None"
    raise TypeError(f"executor: expected {method} to return {expected}, got {_shown(result)}")


def _shown(result: Any) -> str:
    return "an awaitable: it is not awaited" if inspect.isawaitable(result) else repr(result)
