"""Plugins without a network: what stands for one is its client, of which `ask` is what the engine calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from registry import Plugin, PluginConfig
from rpc import Client, FatalError, Method, TransientError
from rpc.batches import Announcement, CallBatch
from rpc.client import WIDTH
from rpc.journeys import Journeys
from rpc.replies import EMPTY, NodeReply, NodeResult, Reply
from rpc.window import Outcomes

PRE = Method.NODE_PRE_EXECUTE
Answer = Reply | FatalError | TransientError


def silent(args: dict[str, Any]) -> Answer:
    """To have nothing to say."""
    return EMPTY


class ScriptedClient(Client):
    """Answers as a test tells it to, call by call in their order; remembers what it was asked."""

    def __init__(self, name: str, answer: Callable[[dict[str, Any]], Answer]) -> None:
        super().__init__("http://nowhere", name=name)
        self.answer = answer
        self.batches: list[CallBatch] = []
        self.args: list[dict[str, Any]] = []
        self.widths: list[int] = []
        self.said: Announcement | None = None
        self.times_back = 0

    @property
    def announcement(self) -> Announcement | None:
        return self.said

    @property
    def generation(self) -> int:
        return self.times_back

    async def ask(
        self,
        method: Method,
        batch: CallBatch,
        outcomes: Outcomes,
        *,
        tolerant: bool = False,
        width: int = WIDTH,
        journeys: Journeys | None = None,
    ) -> None:
        self.batches.append(batch)
        self.widths.append(width)
        for place, call in enumerate(batch.calls):
            args = orjson.loads(call.head + call.rest)
            self.args.append(args)
            outcome = self.answer(args)
            if isinstance(outcome, TransientError) and not tolerant:
                raise outcome
            outcomes[place] = outcome


def plugin(name: str, answer: Callable[[dict[str, Any]], Answer] = silent, **settings: Any) -> Plugin:
    """A plugin with a client of that kind; `settings` are those of its table in the configuration."""
    return Plugin(PluginConfig(name=name, address="http://nowhere", **settings), ScriptedClient(name, answer))


def client(plugin: Plugin) -> ScriptedClient:
    assert isinstance(plugin.client, ScriptedClient)
    return plugin.client


def asked(plugin: Plugin) -> list[str]:
    """The nodes about which a plugin was asked since this was last looked at, by display name."""
    seen = client(plugin).args
    names = [(args.get("node") or args["new"])["displayName"] for args in seen]
    seen.clear()
    return names


def saying(message: str) -> NodeReply:
    return NodeReply(NodeResult(message=message))


def wrong(name: str) -> FatalError:
    return FatalError(name, PRE, "wrong", status=500)


def busy(name: str) -> TransientError:
    return TransientError(name, PRE, "busy", status=503)
