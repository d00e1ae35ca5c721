"""What is known of earlier runs, in SQLite: the outputs of what has ended, and who is at work on the rest."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNITS = {"h": 3600, "m": 60, "s": 1}
LEASE = 24 * 3600
"""Seconds after which somebody who has not ended is not waited for any more."""


def key(workflow: dict[str, Any], template: dict[str, Any], node: dict[str, Any]) -> str | None:
    """What Argo's memoization tells results apart by, and the inputs where a template says only that it wants it.

    None where a template says neither.
    """
    memoize = template.get("memoize") or {}
    if memoize.get("key"):
        by = [(memoize.get("cache") or {}).get("configMap", {}).get("name", ""), memoize["key"]]
    elif ((template.get("metadata") or {}).get("annotations") or {}).get("cache") == "inputs":
        by = [node.get("inputs") or {}]
    else:
        return None
    return json.dumps([workflow["metadata"]["namespace"], template["name"], *by], sort_keys=True)


def max_age(template: dict[str, Any]) -> float:
    """The seconds of `memoize.maxAge`, as Go writes durations; without one, for ever."""
    age = (template.get("memoize") or {}).get("maxAge") or ""
    return sum(float(count) * UNITS[unit] for count, unit in re.findall(r"([\d.]+)([hms])", age)) or float("inf")


def look_up(args: dict[str, Any]) -> dict[str, Any]:
    """Outputs that are known; or it is to wait for somebody who is at work on them; or they are this node's to find."""
    workflow, template, node = args["workflow"], args["template"], args["node"]
    found = key(workflow, template, node)
    if found is None or node["phase"] != "Pending":
        return {}
    owner, now = f"{workflow['metadata']['uid']}/{node['id']}", time.time()
    with database() as cursor:
        limit = now - max_age(template)
        cursor.execute("DELETE FROM known WHERE key = ? AND outputs IS NOT NULL AND at < ?", (found, limit))
        cursor.execute("DELETE FROM known WHERE key = ? AND outputs IS NULL AND at < ?", (found, now - LEASE))
        cursor.execute("INSERT OR IGNORE INTO known VALUES (?, ?, NULL, ?)", (found, owner, now))
        at_work, outputs = cursor.execute("SELECT owner, outputs FROM known WHERE key = ?", (found,)).fetchone()
    if outputs is not None:
        return {"node": {"phase": "Succeeded", "message": "from the cache", "outputs": json.loads(outputs)}}
    return {} if at_work == owner else {"node": {"message": f"waits for {at_work}"}, "requeue": "5s"}


def keep(args: dict[str, Any]) -> None:
    """The outputs of what has succeeded; what has failed is anybody's."""
    workflow, template, node = args["workflow"], args["template"], args["new"]
    found, owner = key(workflow, template, node), f"{workflow['metadata']['uid']}/{node['id']}"
    if found is None or node["phase"] in ("Pending", "Running"):
        return
    with database() as cursor:
        if node["phase"] == "Succeeded":
            outputs = json.dumps(node.get("outputs") or {})
            changed = "UPDATE known SET outputs = ?, at = ? WHERE key = ? AND owner = ? AND outputs IS NULL"
            cursor.execute(changed, (outputs, time.time(), found, owner))
        else:
            cursor.execute("DELETE FROM known WHERE key = ? AND owner = ? AND outputs IS NULL", (found, owner))


def let_go(args: dict[str, Any]) -> None:
    """A workflow that is over is at work on nothing."""
    if args["new"]["status"].get("phase") in ("Succeeded", "Failed", "Error"):
        with database() as cursor:
            owners = args["new"]["metadata"]["uid"] + "/%"
            cursor.execute("DELETE FROM known WHERE owner LIKE ? AND outputs IS NULL", (owners,))


@contextmanager
def database() -> Iterator[sqlite3.Cursor]:
    """A transaction that nobody else writes beside; calls come in several threads at a time."""
    connection = sqlite3.connect(os.environ.get("CACHE", "cache.db"), isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        cursor = connection.execute("BEGIN IMMEDIATE")
        cursor.execute("CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, owner TEXT, outputs TEXT, at REAL)")
        yield cursor
        cursor.execute("COMMIT")
    finally:
        connection.close()
