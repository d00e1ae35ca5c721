"""Tells an OpenLineage server, at OPENLINEAGE_URL, which datasets each node of a workflow read and wrote."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, parent_run

from rpc.plugin import Plugin, Unavailable

PRODUCER = "https://example.com/oarlock/lineage"
ENDS = {"Succeeded": RunState.COMPLETE, "Failed": RunState.FAIL, "Error": RunState.FAIL}

plugin = Plugin("lineage")


@cache
def client() -> OpenLineageClient:
    return OpenLineageClient()


def run_id(*parts: str) -> str:
    """The same for the same node, so that what is told twice is told of one run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((PRODUCER, *parts))))


def datasets(artifacts: list[dict[str, Any]] | None) -> Iterator[tuple[str, str]]:
    """Namespace and name, as OpenLineage's naming conventions have them for S3."""
    for each in artifacts or ():
        if s3 := each.get("s3"):
            yield f"s3://{s3.get('bucket', '')}", s3["key"]


@plugin.on("node.postExecute")
def tell(args: dict[str, Any]) -> None:
    metadata, template, old, node = args["workflow"]["metadata"], args["template"], args["old"], args["new"]
    if node["type"] != "Pod" or old["phase"] == node["phase"]:
        return
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(run_id(metadata["uid"])), job=parent_run.Job(metadata["namespace"], metadata["name"])
    )
    states, now = [], datetime.now(UTC).isoformat()
    if old["phase"] == "Pending":
        states.append((RunState.START, node.get("startedAt", now)))
    if node["phase"] in ENDS:
        states.append((ENDS[node["phase"]], node.get("finishedAt", now)))
    for state, time in states:
        facets: dict[str, Any] = {"parent": parent}
        if state is RunState.FAIL:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(node.get("message", ""), "argo")
        event = RunEvent(
            eventType=state,
            eventTime=time,
            run=Run(run_id(metadata["uid"], node["id"]), facets),
            job=Job(metadata["namespace"], f"{metadata['name']}.{node['displayName']}"),
            inputs=[InputDataset(*each) for each in datasets(template.get("inputs", {}).get("artifacts"))],
            outputs=[OutputDataset(*each) for each in datasets(template.get("outputs", {}).get("artifacts"))],
            producer=PRODUCER,
        )
        try:
            client().emit(event)
        except Exception as error:  # of whichever transport it is
            raise Unavailable(f"no lineage is kept: {error}", retry_after=5) from error


if __name__ == "__main__":
    plugin.run(port=4355)
