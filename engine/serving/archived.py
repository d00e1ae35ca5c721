"""Archived workflows: those that are finished. They are nowhere else than the others, so a live one is not shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from aiohttp import web

from engine.serving.acting import ActBody
from engine.serving.admission import check_path_namespace
from engine.serving.answers import answer_document, answer_json
from engine.serving.errors import invalid, not_found
from engine.serving.guard import Handler
from engine.serving.listing import page
from engine.serving.records import WORKFLOWS, Record, Records
from engine.serving.requests import list_options, read_body
from engine.serving.selectors import label_requirements
from engine.serving.submitting import ResubmitBody
from engine.substitution.variables import text_of


class Archived:
    """The operations on finished workflows. Of one ``answer`` shows all, ``resubmit`` and ``retry`` do what they do to
    any other."""

    def __init__(
        self,
        records: Records,
        answer: Callable[[Record], Awaitable[web.Response]],
        resubmit: Callable[[Record, ResubmitBody], Awaitable[web.StreamResponse]],
        retry: Callable[[Record, ActBody], Awaitable[web.StreamResponse]],
    ) -> None:
        self._records = records
        self._answer = answer
        self._resubmit = resubmit
        self._retry = retry

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "ArchivedWorkflowService_ListArchivedWorkflows": self.list,
            "ArchivedWorkflowService_GetArchivedWorkflow": self.get,
            "ArchivedWorkflowService_DeleteArchivedWorkflow": self.delete,
            "ArchivedWorkflowService_ResubmitArchivedWorkflow": self.resubmit,
            "ArchivedWorkflowService_RetryArchivedWorkflow": self.retry,
            "ArchivedWorkflowService_ListArchivedWorkflowLabelKeys": self.label_keys,
            "ArchivedWorkflowService_ListArchivedWorkflowLabelValues": self.label_values,
        }

    async def list(self, request: web.Request) -> web.Response:
        """A page of them, without their nodes, the newest first."""
        prefix, revision = request.query.get("namePrefix", ""), self._records.revision
        named = (each for each in self._finished(request) if each.key[1].startswith(prefix))
        found = page(named, request, request.query.get("namespace", ""), self._records.began)
        return await answer_document(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "WorkflowList",
                "metadata": found.metadata(revision),
                "items": [self._records.shown(each) for each in found.items],
            }
        )

    async def get(self, request: web.Request) -> web.Response:
        """One of them, by its uid."""
        return await self._answer(self.find(request))

    async def delete(self, request: web.Request) -> web.Response:
        """Forget one, with all that the store has of it."""
        await self._records.delete(self.find(request))
        return answer_json({})

    async def resubmit(self, request: web.Request) -> web.StreamResponse:
        """Submit what one was made of once more."""
        body = await read_body(request, ResubmitBody)
        return await self._resubmit(self.find(request), body)

    async def retry(self, request: web.Request) -> web.StreamResponse:
        """Have one go on from where it failed; it is archived no more until it ends again."""
        body = await read_body(request, ActBody)
        return await self._retry(self.find(request), body)

    async def label_keys(self, request: web.Request) -> web.Response:
        """The names of their labels."""
        return answer_json({"items": sorted({key for each in self._finished(request) for key in each.labels})})

    async def label_values(self, request: web.Request) -> web.Response:
        """The values of the label that the ``labelSelector`` names."""
        requirements = label_requirements(list_options(request).labels)
        if len(requirements) != 1:
            raise invalid(f"only allow 1 labelRequirement, found {len(requirements)}")
        key, operator, _ = requirements[0]
        if operator != "exists":
            raise invalid(f"operation {operator} is not supported: expected the name of a label as labelSelector")
        found = {text_of(each.labels[key]) for each in self._finished(request) if key in each.labels}
        return answer_json({"items": sorted(found)})

    def find(self, request: web.Request) -> Record:
        """The one that a path names, and the query may. Raises `ApiError`."""
        uid, query = request.match_info["uid"], request.query
        found = self._records.hub.items.get(uid)
        if found is None or found.workflow is not None:
            raise not_found(WORKFLOWS, uid)
        for field, own in zip(("namespace", "name"), found.key, strict=True):
            if query.get(field, own) not in ("", own):
                raise not_found(WORKFLOWS, uid)
        return found

    def _finished(self, request: web.Request) -> Iterator[Record]:
        namespace = request.query.get("namespace", "")
        check_path_namespace(namespace, all_will_do=True)
        found = self._records.hub.items.values()
        return (each for each in found if each.workflow is None and namespace in ("", each.key[0]))
