"""Rounds of ``kill -9`` at random moments, and what must be true of what is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from engine import SqliteStore, Workflow
from engine.model.node import POD
from engine.reconciling.entries import read
from tests.processes import started

LONGEST = 0.4
"""Seconds, at most, that a process has from opening its store to its end."""


class Lost(AssertionError):
    """Something that was promised is not there, or is there twice."""


def kill(folder: Path, rounds: int, seed: int) -> Iterator[str]:
    """Kill a process again and again, let the last one finish; yields what there was after each. Raises `Lost`."""
    dice = Random(seed)
    for number in range(1, rounds + 1):
        with _started(folder, f"{seed} {number}"):
            time.sleep(dice.random() * LONGEST)
        works = [work for work in asyncio.run(check_seen(folder)) if not work.finished]
        yield f"round {number}: {len(works)} workflows under way, {len(_starts(folder))} leaves started"
    with _started(folder, "finish") as last:
        _, err = last.communicate()
    if last.returncode:
        raise Lost(f"the last process ended with {last.returncode}: {err}")
    works = asyncio.run(check_seen(folder))
    check_all(folder, works)
    yield f"{len(works)} workflows finished, {len(_starts(folder))} leaves started once each"


@contextmanager
def _started(folder: Path, seed: str) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "tests.kill.victim", folder, seed)
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Lost(f"a process did not go on with what was left: {process.communicate()[1]}")
        yield process


def _starts(folder: Path) -> list[str]:
    return (folder / "starts").read_text().splitlines()


async def check_seen(folder: Path) -> list[Workflow]:
    """The workflows in the store. Raises `Lost` where anything is missing that was seen committed."""
    furthest: dict[str, int] = {}
    for line in (folder / "seen").read_text().splitlines() if (folder / "seen").exists() else ():
        uid, nodes = line.split()
        furthest[uid] = max(int(nodes), furthest.get(uid, 0))
    works = []
    async with SqliteStore(folder / "oarlock.db") as store:
        heads = await store.heads()
        if missing := furthest.keys() - {head.uid for head in heads}:
            raise Lost(f"{len(missing)} workflows that were acknowledged are not there: {sorted(missing)[:3]}")
        for head in heads:
            work, _ = await read(head.uid, await store.entries(head.uid))
            over = sum(node.fulfilled for node in work.nodes.values())
            if over < furthest.get(head.uid, 0):
                raise Lost(f"{work.key}: {furthest[head.uid]} nodes were over, {over} are")
            works.append(work)
    return works


def check_all(folder: Path, works: list[Workflow]) -> None:
    """Raises `Lost` unless every workflow has succeeded, and each of its leaves was started once."""
    if unsuccessful := [work.key for work in works if work.phase != "Succeeded"]:
        raise Lost(f"{len(unsuccessful)} workflows did not succeed: {unsuccessful[:3]}")
    starts = Counter(_starts(folder))
    if twice := [key for key, times in starts.items() if times > 1]:
        raise Lost(f"{len(twice)} leaves were started twice: {twice[:3]}")
    leaves = {f"{work.uid} {node.id}" for work in works for node in work.nodes.values() if node.type == POD}
    if leaves != starts.keys():
        lost, strange = leaves - starts.keys(), starts.keys() - leaves
        raise Lost(f"leaves that were never started: {sorted(lost)[:3]}; that are no workflow's: {sorted(strange)[:3]}")
