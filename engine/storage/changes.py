"""How a file keeps workflows: by what has changed of each, one change after the other, put together now and then.

To write a change is to add a row, whatever the size of its workflow; to read a workflow is to go through its changes.
Those are put together, and what later ones made void is dropped, once that may be more than what still holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

import msgspec

from engine.model.encoding import encode
from engine.model.pace import batched
from engine.storage.store import Change, Entry, Head, Values

FEW: Final = 64
"""Entries in a row at most."""

LOOSE: Final = 64 * 1024
"""Bytes of a change behind which it is taken to add more than it makes void."""

_HEADS: Final = """SELECT uid, namespace, name, phase, finished, (SELECT revision FROM changes
    WHERE workflow = number ORDER BY place DESC LIMIT 1) FROM workflows WHERE {} ORDER BY number"""
_OF: Final = "FROM changes WHERE workflow = ?"


class _Row(msgspec.Struct, array_like=True):
    gone: dict[str, list[str]]
    put: dict[str, dict[str, msgspec.Raw]]


_decode: Final = msgspec.json.Decoder(_Row).decode


def rows_of(change: Change) -> Iterable[bytes]:
    """A change in as many rows as it takes; a small one is encoded at once. Raises what `encode` does."""
    if sum(map(len, change.put.values())) + sum(map(len, change.gone.values())) <= FEW:
        return (encode(({kind: [*keys] for kind, keys in change.gone.items()}, change.put)),)
    return _Rows(change.put, change.gone)


class _Rows(Iterable[bytes]):
    """Those of a large change: encoded as they are gone through, and again where its transaction was taken back."""

    def __init__(self, put: Values, gone: Mapping[str, Collection[str]]) -> None:
        self._put, self._gone = put, gone

    def __iter__(self) -> Iterator[bytes]:
        for kind, keys in self._gone.items():
            yield from (encode(({kind: some}, {})) for some in batched(keys, FEW))
        for kind, values in self._put.items():
            yield from (encode(({}, {kind: dict(some)})) for some in batched(values.items(), FEW))


class _Log(msgspec.Struct):
    """What is known of a workflow, and of its rows: the bytes of those that were written anew, or mostly add something
    (``dense``), and of the others."""

    number: int
    phase: str
    finished: bool
    loose: int = 0
    dense: int = 0


class Changes:
    """The workflows in a database. All that changes something is to be called in a transaction; after one that was
    taken back nothing is known any more (`forget`)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._logs: dict[str, _Log] = {}
        """Of unfinished workflows that were written lately, by uid."""
        self._added: list[tuple[int, int, bool, bytes]] = []
        """Rows that are not in the database yet: each statement costs as much as the row, and a turn of the GIL."""

    def forget(self) -> None:
        """What was written last is not so."""
        self._logs.clear()
        self._added.clear()

    def settle(self) -> None:
        """All that was written is in the database: to be called before the transaction ends."""
        rows, self._added = self._added, []
        if rows:
            values = ", ".join(["(?, ?, ?, ?)"] * len(rows))
            columns = "(workflow, revision, dense, value)"
            self._run(f"INSERT INTO changes {columns} VALUES {values}", *chain.from_iterable(rows))

    def write(self, change: Change, rows: Iterable[bytes], revision: int) -> None:
        """Add the rows of a change."""
        head = change.head
        log = self._logs.get(head.uid) or self._log(head)
        if (head.phase, head.finished) != (log.phase, log.finished):
            log.phase, log.finished = head.phase, head.finished
            self._run("UPDATE workflows SET phase = ?, finished = ? WHERE uid = ?", head.phase, head.finished, head.uid)
        if change.whole:
            self._drop(log)
        self._add(log, rows, revision, dense=change.whole)
        if log.loose > LOOSE + log.dense:
            values = self._values(log.number)
            self._drop(log)
            self._add(log, _Rows(values, {}), revision, dense=True)
        if head.finished:
            self._logs.pop(head.uid, None)
        else:
            self._logs[head.uid] = log

    def delete(self, uid: str) -> bool:
        """Forget a workflow; whether there was one."""
        self._logs.pop(uid, None)
        self.settle()
        found = self._run("DELETE FROM workflows WHERE uid = ? RETURNING number", uid)
        for (number,) in found:
            self._run(f"DELETE {_OF}", number)
        return bool(found)

    def heads(self, given: dict[str, Any]) -> list[Head]:
        """Those of the workflows whose columns are like that."""
        where = " AND ".join(f"{column} = ?" for column in given) or "TRUE"
        rows = self._run(_HEADS.format(where), *given.values())
        return [Head(uid, space, name, phase, bool(finished), last) for uid, space, name, phase, finished, last in rows]

    def entries(self, uid: str, kinds: Collection[str] | None) -> Collection[Entry]:
        """See `Store.entries`."""
        found = self._run("SELECT number FROM workflows WHERE uid = ?", uid)
        return _Entries(self._values(found[0][0], kinds) if found else {})

    def _values(self, number: int, kinds: Collection[str] | None = None) -> dict[str, dict[str, msgspec.Raw]]:
        """What a workflow's rows come to."""
        self.settle()
        values: dict[str, dict[str, msgspec.Raw]] = {}
        for (row,) in self._connection.execute(f"SELECT value {_OF} ORDER BY place", (number,)):
            read = _decode(row)
            for kind, keys in read.gone.items():
                for key in keys:
                    values.get(kind, {}).pop(key, None)
            for kind, some in read.put.items():
                if kinds is None or kind in kinds:
                    values.setdefault(kind, {}).update(some)
        return values

    def _log(self, head: Head) -> _Log:
        """What the database has of a workflow; where it has nothing it is a new one."""
        columns = "(uid, namespace, name, phase, finished) VALUES (?, ?, ?, ?, ?)"
        made = self._run(
            f"INSERT INTO workflows {columns} ON CONFLICT (uid) DO NOTHING RETURNING number",
            *(head.uid, head.namespace, head.name, head.phase, head.finished),
        )
        if made:
            return _Log(made[0][0], head.phase, head.finished)
        self.settle()
        found = self._run("SELECT number, phase, finished FROM workflows WHERE uid = ?", head.uid)
        ((number, phase, finished),) = found
        sums = "sum(iif(dense, 0, length(value))), sum(iif(dense, length(value), 0))"
        ((loose, dense),) = self._run(f"SELECT {sums} {_OF}", number)
        return _Log(number, phase, bool(finished), loose or 0, dense or 0)

    def _add(self, log: _Log, rows: Iterable[bytes], revision: int, *, dense: bool) -> None:
        size = 0
        for row in rows:
            size += len(row)
            mostly_new = dense or size > LOOSE
            self._added.append((log.number, revision, mostly_new, row))
            if len(self._added) == FEW:
                self.settle()
            if mostly_new:
                log.dense += len(row)
            else:
                log.loose += len(row)

    def _drop(self, log: _Log) -> None:
        if log.loose or log.dense:
            self.settle()
            self._run(f"DELETE {_OF}", log.number)
            log.loose = log.dense = 0

    def _run(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()


class _Entries(Collection[Entry]):
    """Made as they are gone through: all of a large workflow's at a time would be objects for the garbage collector."""

    def __init__(self, values: Mapping[str, Mapping[str, msgspec.Raw]]) -> None:
        self._values = values

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))

    def __iter__(self) -> Iterator[Entry]:
        for kind, some in self._values.items():
            for key, value in some.items():
                yield Entry(kind, key, bytes(value))

    def __contains__(self, entry: object) -> bool:
        return any(each == entry for each in self)
