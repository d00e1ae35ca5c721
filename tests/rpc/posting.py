"""What a plugin on the SDK is sent, and what it answers, as an HTTP client sees it."""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
import orjson

PRE = "node.preExecute"
BATCH = f"/{PRE}.batch"
WORKFLOW = {"metadata": {"name": "fan"}}
TEMPLATES = {"main": {"name": "main"}, "main#2": {"name": "main", "container": {"image": "b"}}}


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


async def post(address: str, path: str, document: Any, token: str | None = None) -> Answer:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(address + path, data=orjson.dumps(document), headers=headers) as response,
    ):
        return Answer(response.status, await response.read(), response.headers.get("Retry-After"))


def batch(*calls: Any, **other: Any) -> dict[str, Any]:
    return {"workflow": WORKFLOW, "templates": TEMPLATES, "calls": list(calls), **other}


def nodes(*names: str) -> dict[str, Any]:
    return batch(*({"template": "main", "node": {"name": name}} for name in names))
