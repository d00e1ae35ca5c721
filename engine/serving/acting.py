"""Workflows told to stop, to wait, to go on, or to begin again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import orjson
from aiohttp import web

from engine.model.workflow import Workflow
from engine.reconciler import Reconciler
from engine.serving.errors import invalid
from engine.serving.guard import Handler
from engine.serving.records import Record, Records
from engine.serving.requests import Body, read_body
from engine.serving.submitting import assignments
from engine.serving.workflows import Workflows
from engine.substitution.variables import text_of


class ActBody(Body):
    """What Argo's requests to stop, terminate, suspend, resume, set and retry have, each of them some of it."""

    node_field_selector: str = ""
    message: str = ""
    phase: str = ""
    output_parameters: str = ""
    restart_successful: bool = False
    parameters: list[str] | None = None


SETTABLE: Final = ("Succeeded", "Failed", "Error", "")
"""Phases that a client may set, the last of which leaves it as it is (Argo's SetWorkflow); the engine knows others."""

Act = Callable[[Workflow, ActBody], Awaitable[None]]


class Acting:
    """The operations that change a workflow, and answer with it."""

    def __init__(self, engine: Reconciler, records: Records, workflows: Workflows) -> None:
        self._engine = engine
        self._records = records
        self._workflows = workflows

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        engine = self._engine
        acts: dict[str, Act] = {
            "Stop": lambda workflow, body: engine.stop(
                workflow, node_field_selector=body.node_field_selector, message=body.message
            ),
            "Terminate": lambda workflow, body: engine.terminate(workflow),
            "Suspend": lambda workflow, body: engine.suspend(workflow),
            "Resume": lambda workflow, body: engine.resume(workflow, node_field_selector=body.node_field_selector),
            "Set": self._set,
            "Retry": self._retry,
        }
        return {f"WorkflowService_{name}Workflow": self._handler(act) for name, act in acts.items()}

    def _handler(self, act: Act) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await read_body(request, ActBody)
            return await self._done(self._workflows.find(request), body, act)

        return handle

    async def _done(self, record: Record, body: ActBody, act: Act) -> web.StreamResponse:
        workflow = await self._records.workflow(record)
        self._records.check_there(record)
        await act(workflow, body)
        answer = await self._workflows.answer(record)
        await self._engine.saved(workflow)
        return answer

    async def retry_record(self, record: Record, body: ActBody) -> web.StreamResponse:
        """Have a finished workflow go on from where it failed."""
        return await self._done(record, body, self._retry)

    def _set(self, workflow: Workflow, body: ActBody) -> Awaitable[None]:
        if body.phase not in SETTABLE:
            raise invalid(f"{body.phase} is an invalid phase to set to: expected {', '.join(filter(None, SETTABLE))}")
        return self._engine.set(
            workflow,
            node_field_selector=body.node_field_selector,
            phase=body.phase,
            message=body.message,
            parameters=_outputs(body.output_parameters),
        )

    def _retry(self, workflow: Workflow, body: ActBody) -> Awaitable[None]:
        selects = body.restart_successful and bool(body.node_field_selector)
        return self._engine.retry(  # one of the two without the other says nothing to Argo's server
            workflow,
            restart_successful=selects,
            node_field_selector=body.node_field_selector if selects else "",
            parameters=assignments(body.parameters),
        )


def _outputs(text: str) -> dict[str, str]:
    """``outputParameters``: JSON in a string, names and values. Raises `ApiError`."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid(f"outputParameters: expected a mapping in JSON, got {text!r}")
    return {
        name: text_of(value) if isinstance(value, str | int | float) else orjson.dumps(value).decode()
        for name, value in found.items()
    }
