"""Answers for nodes whose results are known from earlier runs, which are in SQLite: CACHE says in which file."""

from __future__ import annotations

from typing import Any

import cache_store

from rpc.plugin import Plugin

plugin = Plugin("cache")


@plugin.on("node.preExecute")
def look_up(args: dict[str, Any]) -> dict[str, Any]:
    return cache_store.look_up(args)


@plugin.on("node.postExecute")
def keep(args: dict[str, Any]) -> None:
    cache_store.keep(args)


@plugin.on("workflow.postOperate")
def let_go(args: dict[str, Any]) -> None:
    cache_store.let_go(args)


if __name__ == "__main__":
    plugin.run(port=4355)
