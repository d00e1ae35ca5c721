"""The embedded store: one file of SQLite's, written by one thread off the event loop, many workflows at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from engine.model.encoding import UNENCODABLE, encode
from engine.storage.changes import Changes, rows_of
from engine.storage.file import code_of, described, opened
from engine.storage.store import Change, Entry, Head, Item, StoreError, refused

_T = TypeVar("_T")
_Write = Callable[[int], Any]
"""Writes under a revision; its result is whoever asked for it."""

ENOUGH: Final = 16
"""Changes that are written without waiting for more: what a transaction costs is shared well among so many."""

EACH: Final = 0.0025
"""Seconds from the end of a transaction to the next one of changes that are patient, for each change that it had. To
wait for the disk costs as much processor time as a small pass, and the passes that have waited together are likely to
come together again, with others; who was alone need not wait for anybody."""

APART: Final = 0.025
"""Seconds that are waited at most."""

_DOCUMENT: Final = """INSERT INTO documents (kind, namespace, name, revision, value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, namespace, name) DO UPDATE SET revision = excluded.revision, value = excluded.value"""


class SqliteStore:
    """A `Store` in the file ``path``, made where there is none; one process at a time has it, and more is refused.

    Changes that are asked for while others are being written, or put off, go into one transaction, whose end (a
    write-ahead log, ``synchronous = FULL``) waits for the disk: what was committed survives the loss of the process and
    of power. Values are encoded by the writing thread, so they must not be changed any more once they are handed over.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path).resolve()
        self.revision = 0
        self._entered = 0
        self._stack = ExitStack()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._wanted: deque[tuple[_Write, asyncio.Future[Any]]] = deque()
        self._writing = False
        """Whether somebody sees to it that what is wanted is written."""
        self._pressing = False
        """Whether some of that is not patient, or there is enough."""
        self._due = 0.0
        """When the next transaction is to begin, by `time.monotonic`."""
        self._timer: asyncio.TimerHandle | None = None
        """Until then, where nothing presses."""

    async def __aenter__(self) -> Self:
        if not self._entered:
            thread = ThreadPoolExecutor(1, "oarlock-store")
            try:
                await asyncio.wrap_future(thread.submit(self._open))
            except BaseException:
                thread.submit(self._close)
                thread.shutdown(wait=False)
                raise
            self._thread = thread
        self._entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._thread is None:
            return
        self._entered -= 1
        if self._entered:
            return
        thread, self._thread = self._thread, None
        closing = [thread.submit(self._write, asyncio.get_running_loop()), thread.submit(self._close)]
        thread.shutdown(wait=False)
        for each in closing:  # to its end, also where nobody waits for that
            await asyncio.shield(asyncio.wrap_future(each))

    def _open(self) -> None:
        self._connection = opened(self.path, self._stack)
        self._workflows = Changes(self._connection)
        self.revision = self._described(lambda: self._run("SELECT revision FROM counter"))[0][0]

    def _close(self) -> None:
        self._connection = None
        try:
            self._stack.close()
        except sqlite3.Error as error:
            raise described(self.path, error) from error

    # Workflows

    def commit(self, change: Change) -> asyncio.Future[int]:
        try:
            rows = rows_of(change)
        except UNENCODABLE as error:
            return _failed(self._refused(change, error))

        def write(revision: int) -> int:
            try:
                self._workflows.write(change, rows, revision)
            except UNENCODABLE as error:
                raise self._refused(change, error) from error
            return revision

        return self._change(write, patient=change.patient)

    def _refused(self, change: Change, error: Exception) -> StoreError:
        return refused(f"{self.path}: workflow {change.head.uid}", error)

    async def heads(
        self, *, finished: bool | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[Head]:
        wanted = {"finished": finished, "namespace": namespace, "name": name}
        given = {column: value for column, value in wanted.items() if value is not None}
        return await self._read(lambda: self._workflows.heads(given))

    async def entries(self, uid: str, kinds: Collection[str] | None = None) -> Collection[Entry]:
        return await self._read(lambda: self._workflows.entries(uid, kinds))

    async def delete(self, uid: str) -> bool:
        return await self._change(lambda revision: self._workflows.delete(uid))

    # Documents

    async def put(self, kind: str, namespace: str, name: str, document: Mapping[str, Any]) -> int:
        try:
            text = encode(document)
        except UNENCODABLE as error:
            raise refused(f"{self.path}: {kind} {namespace}/{name}", error) from error

        def write(revision: int) -> int:
            self._run(_DOCUMENT, kind, namespace, name, revision, text)
            return revision

        return await self._change(write)

    async def get(self, kind: str, namespace: str, name: str) -> Item | None:
        found = await self._items("kind = ? AND namespace = ? AND name = ?", kind, namespace, name)
        return found[0] if found else None

    async def items(self, kind: str, namespace: str | None = None) -> list[Item]:
        if namespace is None:
            return await self._items("kind = ?", kind)
        return await self._items("kind = ? AND namespace = ?", kind, namespace)

    async def _items(self, where: str, *values: str) -> list[Item]:
        columns = "kind, namespace, name, value, revision"
        statement = f"SELECT {columns} FROM documents WHERE {where} ORDER BY namespace, name"

        def read() -> list[Item]:
            return [
                Item(kind, space, name, msgspec.json.decode(text), revision)
                for kind, space, name, text, revision in self._run(statement, *values)
            ]

        return await self._read(read)

    async def remove(self, kind: str, namespace: str, name: str) -> bool:
        statement = "DELETE FROM documents WHERE kind = ? AND namespace = ? AND name = ? RETURNING kind"
        return await self._change(lambda revision: bool(self._run(statement, kind, namespace, name)))

    # Reading and writing, by the one thread

    async def _read(self, read: Callable[[], _T]) -> _T:
        thread = self._opened()
        if self._wanted:  # what was asked for before is seen
            thread.submit(self._write, asyncio.get_running_loop())
        return await asyncio.wrap_future(thread.submit(self._described, read))

    def _change(self, write: Callable[[int], _T], *, patient: bool = False) -> asyncio.Future[_T]:
        loop = asyncio.get_running_loop()
        try:
            self._opened()
        except StoreError as error:
            return _failed(error)
        done: asyncio.Future[_T] = loop.create_future()
        self._wanted.append((write, done))
        self._pressing = self._pressing or not patient or len(self._wanted) >= ENOUGH
        if not self._writing:
            self._writing = True
            self._gather(loop)
        elif self._pressing and self._timer is not None:
            self._gather(loop)
        return done

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have what is wanted written: where it presses with what else this turn of the event loop brings."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._due - time.monotonic()
        if wait > 0 and not self._pressing:
            self._timer = loop.call_later(wait, self._begin, loop)
        else:
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._pressing = None, False
        if self._thread is not None:
            self._thread.submit(self._write, loop)

    def _opened(self) -> ThreadPoolExecutor:
        if self._thread is None:
            raise StoreError(f"{self.path}: expected a store that is open: enter it, or an engine that has it")
        return self._thread

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write all that is wanted by now, in one transaction; where that fails, each in one of its own."""
        wanted = [self._wanted.popleft() for _ in range(len(self._wanted))]
        if not wanted:  # somebody has read meanwhile
            return
        writes = [write for write, _ in wanted]
        try:
            results = self._transaction(writes)
        except Exception as error:
            # Who has it locked may have it for minutes, and each of them would be waited for.
            locked = code_of(error.__cause__) == sqlite3.SQLITE_BUSY
            results = [error] * len(writes) if locked else [self._alone(write) for write in writes]
        loop.call_soon_threadsafe(self._written, loop, [done for _, done in wanted], results)

    def _alone(self, write: _Write) -> Any:
        try:
            return self._transaction([write])[0]
        except Exception as error:
            return error

    def _transaction(self, writes: Sequence[_Write]) -> list[Any]:
        revision, results = self.revision, list[Any]()

        def transact() -> None:
            nonlocal revision
            self._run("BEGIN IMMEDIATE")
            try:
                for write in writes:
                    revision += 1
                    results.append(write(revision))
                self._workflows.settle()
                self._run("UPDATE counter SET revision = ?", revision)
                self._run("COMMIT")
            except BaseException:
                self._roll_back()
                raise

        self._described(transact)
        self.revision = revision
        return results

    def _roll_back(self) -> None:
        self._workflows.forget()
        connection = self._connection
        if connection is not None and connection.in_transaction:  # SQLite may have done so itself
            connection.execute("ROLLBACK")

    def _written(
        self, loop: asyncio.AbstractEventLoop, asked: Sequence[asyncio.Future[Any]], results: list[Any]
    ) -> None:
        for done, result in zip(asked, results, strict=True):
            if done.done():
                continue  # whoever asked is gone; it was written all the same
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
        self._due = time.monotonic() + min(len(results) * EACH, APART)
        self._writing = bool(self._wanted)
        if self._writing:
            self._gather(loop)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        assert self._connection is not None
        return self._connection.execute(statement, values).fetchall()

    def _described(self, work: Callable[[], _T]) -> _T:
        """The work's result, or its error as whoever operates the engine can use it."""
        try:
            return work()
        except sqlite3.Error as error:
            raise described(self.path, error) from error
        except msgspec.DecodeError as error:
            raise StoreError(f"{self.path}: expected what was written there, got something else: {error}") from error


def _failed(error: StoreError) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
