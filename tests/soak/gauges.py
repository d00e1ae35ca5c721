"""What the process holds on to: sampled while it runs, and judged by the trend."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import os
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

import psutil

from engine.graph.memo import Memos
from engine.model.sharing import Shared

_OURS: Final = ("engine", "registry", "rpc")
MOST_PAIRS: Final = 300
"""Samples that a trend is drawn through; with more, the medians of as many slices stand for them."""


class Sample(NamedTuple):
    """``seconds`` since the beginning; ``rss`` is resident memory in bytes."""

    seconds: float
    rss: int
    descriptors: int
    tasks: int


class Gauges:
    """Reads them off this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def read(self, seconds: float) -> Sample:
        """Take a sample, `seconds` after the beginning."""
        with self._process.oneshot():
            rss, descriptors = self._process.memory_info().rss, self._process.num_fds()
        return Sample(seconds, rss, descriptors, len(asyncio.all_tasks()))

    def cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def open_files(self) -> Counter[str]:
        """What the file descriptors of this process are: sockets of all kinds, pipes, files by name."""
        return Counter(_target(fd).partition(":[")[0] for fd in os.listdir("/proc/self/fd"))

    def connections(self) -> set[tuple[str, int]]:
        """Where this process has TCP connections to."""
        return {
            (connection.raddr.ip, connection.raddr.port)
            for connection in self._process.net_connections("tcp")
            if connection.raddr
        }


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure over time: its median early and late, and by how much it grew from one end to the other."""

    first: float
    last: float
    growth: float


def trend(samples: list[tuple[float, float]]) -> Trend:
    """The trend through (seconds, figure) pairs, three at least.

    The slope is the median of the slopes between all pairs (Theil, 1950; Sen, 1968): bursts do not bend it.
    """
    size = -(-len(samples) // MOST_PAIRS)
    slices = [samples[at : at + size] for at in range(0, len(samples), size)]
    points = [
        (statistics.median(seconds for seconds, _ in each), statistics.median(figure for _, figure in each))
        for each in slices
    ]
    slope = statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
    third = -(-len(points) // 3)
    first, last = ([figure for _, figure in part] for part in (points[:third], points[-third:]))
    return Trend(statistics.median(first), statistics.median(last), slope * (samples[-1][0] - samples[0][0]))


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # the listing's own
        return "listing"


class Held(NamedTuple):
    """What the process holds at rest: bytes that are resident, ``blocks`` that Python's own allocator has given out to
    small objects, and ``objects`` of our own types that the garbage collector knows."""

    rss: int
    blocks: int
    objects: Counter[type]

    @classmethod
    def now(cls) -> Held:
        """Once `objects_of_ours` has cleared up, and the allocator has given back to the system what nobody uses."""
        objects = objects_of_ours()
        ctypes.CDLL(None).malloc_trim(0)
        return cls(psutil.Process().memory_info().rss, sys.getallocatedblocks(), objects)


def objects_of_ours() -> Counter[type]:
    """How many objects there are of each type of our own that the garbage collector knows.

    What is remembered up to a bound is forgotten before, since how much that is depends on who came when, and garbage
    is collected until there is none: a graph that is emptied when its walk goes is garbage by then only.
    """
    _forget()
    while gc.collect():
        pass
    types = map(type, gc.get_objects())
    return Counter(each for each in types if str(each.__module__).partition(".")[0] in _OURS)


def _forget() -> None:
    """By itself, since the loop's variable is left with an object that may be garbage: with all that this refers to it
    would not be collected."""
    for each in (*_frozen, *gc.get_objects()):
        if isinstance(each, _Remembering) and each.cache_parameters()["maxsize"] is not None:
            each.cache_clear()
        elif isinstance(each, Shared):
            each._kept.clear()
            each._size = 0
        elif isinstance(each, Memos):
            each._memos.clear()
            each._expiring.clear()
            each._size = 0


_Remembering: Final = type(functools.lru_cache(len))
_frozen: Final = list[object]()


def freeze() -> None:
    """Have the collector leave alone all that there is; of that, only what remembers things is looked at again."""
    gc.unfreeze()
    gc.collect()
    _frozen[:] = (each for each in gc.get_objects() if isinstance(each, _Remembering | Shared))
    gc.freeze()
