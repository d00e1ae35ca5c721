"""Runs `plugin: {spark: ...}` templates on Spark, by the REST API of a standalone master, at SPARK_URL."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp

from rpc.plugin import Plugin, Unavailable

ENDS = {"FINISHED": "Succeeded", "FAILED": "Failed", "KILLED": "Failed", "ERROR": "Error"}

plugin = Plugin("spark")
submitting = dict[tuple[str, str], asyncio.Task[str]]()
"""What was submitted and is not yet heard of: a call may come again while the first one is answered, or after that."""


@plugin.on("template.execute")
async def execute(args: dict[str, Any]) -> dict[str, Any] | None:
    job = args["template"]["plugin"].get("spark")
    if job is None:
        return None  # another plugin's
    submission = await find(args) or await asyncio.shield(begin(key(args), job))
    state = (await spark(f"status/{submission}"))["driverState"]
    phase = ENDS.get(state, "Running")
    outputs = {"parameters": [{"name": "submission", "value": submission}]}
    reply: dict[str, Any] = {"node": {"phase": phase, "message": f"{submission}: {state}", "outputs": outputs}}
    return reply if phase in ENDS.values() else {**reply, "requeue": "10s"}


@plugin.on("template.stop")
async def stop(args: dict[str, Any]) -> None:
    submission = await find(args)
    if submission is not None:
        await spark(f"kill/{submission}", {})


def key(args: dict[str, Any]) -> tuple[str, str]:
    """What identifies a job: another one in each attempt and each turn of a loop."""
    return args["workflow"]["metadata"]["uid"], args["node"]["id"]


async def find(args: dict[str, Any]) -> str | None:
    """The engine keeps the node for us, so a plugin that is started again goes on where it was."""
    for each in (args["node"].get("outputs") or {}).get("parameters") or ():
        if each["name"] == "submission":
            submitting.pop(key(args), None)
            return str(each["value"])
    task = submitting.get(key(args))
    return None if task is None else await asyncio.shield(task)


def begin(job_key: tuple[str, str], job: dict[str, Any]) -> asyncio.Task[str]:
    """Submit it, to the end, even if whoever called does not wait so long."""
    task = submitting[job_key] = asyncio.create_task(submit(job, "/".join(job_key)))
    task.add_done_callback(lambda done: submitting.pop(job_key, None) if done.cancelled() or done.exception() else None)
    return task


async def submit(job: dict[str, Any], name: str) -> str:
    properties = {"spark.app.name": name, **job.get("sparkProperties", {})}
    request = {"action": "CreateSubmissionRequest", "clientSparkVersion": "4.0.0", "environmentVariables": {}}
    request |= {each: job[each] for each in ("appResource", "mainClass")} | {"sparkProperties": properties}
    reply = await spark("create", {**request, "appArgs": job.get("appArgs", [])})
    return str(reply["submissionId"])


async def spark(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    url = f"{os.environ.get('SPARK_URL', 'http://localhost:6066')}/v1/submissions/{path}"
    try:
        async with aiohttp.request("GET" if body is None else "POST", url, json=body) as response:
            reply: dict[str, Any] = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"Spark does not answer: {error}", retry_after=5) from error
    if not reply["success"]:
        raise RuntimeError(f"Spark refuses {path}: {reply.get('message', '')}")
    return reply


if __name__ == "__main__":
    plugin.run(port=4355)
