"""Tells a webhook, such as Slack's, of every workflow that has ended. WEBHOOK_URL says where it is."""

from __future__ import annotations

import os
from typing import Any

import aiohttp

from rpc.plugin import Plugin, Unavailable

ENDED = ("Succeeded", "Failed", "Error")

plugin = Plugin("notify")
told = set[str]()
"""An end may be told again, where a pass was aborted after it."""


@plugin.on("workflow.postOperate")
async def notify(args: dict[str, Any]) -> None:
    metadata, status = args["new"]["metadata"], args["new"]["status"]
    if status.get("phase") not in ENDED or args["old"]["status"].get("phase") in ENDED:
        return
    end = f"{metadata['uid']}/{status.get('finishedAt', '')}"  # a workflow that is retried has several
    if end in told:
        return
    text = f"{metadata['namespace']}/{metadata['name']} {status['phase']} {status.get('message', '')}".strip()
    request = aiohttp.request(
        "POST", os.environ["WEBHOOK_URL"], json={"text": text}, headers={"Idempotency-Key": end}, raise_for_status=True
    )
    try:
        async with request:
            told.add(end)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"nobody was told: {error}", retry_after=30) from error


if __name__ == "__main__":
    plugin.run(port=4355)
