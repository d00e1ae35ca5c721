"""A store's file: opened by one process at a time, of our making, intact, and of a schema that we know."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from engine.storage.store import StoreError

VERSION: Final = 3
"""Of the schema, in the file's `user_version`: one more whenever the tables, or what is in them, are other ones."""

APPLICATION: Final = 0x4F41524C
"""``OARL``, in the file's `application_id`: by that other programs' databases are told from ours."""

BUSY: Final = 5.0
"""Seconds to wait while another program, such as a backup, has the database locked."""

PAGE: Final = 4096
"""Bytes that are written at least where one is another."""

LOG: Final = 4096
"""Pages in the log before they are moved to their places, each of which had been written several times by then."""

CACHE: Final = 16 * 1024
"""KiB of the file that are kept in memory."""

_MAGIC: Final = b"SQLite format 3\0"

_SCHEMA: Final = (
    "CREATE TABLE counter (revision INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (0)",
    """CREATE TABLE workflows (number INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL, name TEXT NOT NULL, phase TEXT NOT NULL, finished INTEGER NOT NULL)""",
    "CREATE INDEX workflows_by_name ON workflows (namespace, name)",
    "CREATE INDEX unfinished ON workflows (number) WHERE NOT finished",
    # As they are written, so that those of many workflows at a time touch few pages: their own, and those of the index.
    """CREATE TABLE changes (place INTEGER PRIMARY KEY, workflow INTEGER NOT NULL, revision INTEGER NOT NULL,
        dense INTEGER NOT NULL, value BLOB NOT NULL)""",
    "CREATE INDEX changes_by_workflow ON changes (workflow)",
    """CREATE TABLE documents (kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        revision INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, namespace, name))""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)

_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or the file may not grow",
    sqlite3.SQLITE_IOERR: "it cannot be read or written, be it that it may not grow or that the disk fails",
    sqlite3.SQLITE_BUSY: f"another program has had it locked for {BUSY:g} s",
    sqlite3.SQLITE_CORRUPT: "expected an intact database, this one is damaged",
    sqlite3.SQLITE_NOTADB: "expected a SQLite database, this is none",
    sqlite3.SQLITE_READONLY: "expected a file that may be written, this one may not",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
}


def code_of(error: BaseException | None) -> int:
    """SQLite's primary result code; 0 where the error is none of SQLite's."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def described(path: Path, error: sqlite3.Error) -> StoreError:
    """SQLite's error, as whoever operates the engine can use it."""
    reason = _REASONS.get(code_of(error))
    return StoreError(f"{path}: {f'{reason} ({error})' if reason else error}")


def opened(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """The database at `path`, made where there is none; `stack` closes it. Raises `StoreError`."""
    if not path.parent.is_dir():
        raise StoreError(f"{path}: expected a file in a directory that exists, {path.parent} is none")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: expected a file")
    if path.name == ":memory:":  # as SQLite calls what is no file
        raise StoreError(f"{path}: expected a file; a MemoryStore, or no store, is what does not outlive the process")
    _lock(path, stack)
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:  # parameters of workflows will be in it
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"{path}: expected a file that may be written: {error.strerror}") from error
    if begins and begins != _MAGIC:  # SQLite would write over a short one
        raise StoreError(f"{path}: {_REASONS[sqlite3.SQLITE_NOTADB]}")
    try:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        stack.callback(connection.close)
        connection.execute(f"PRAGMA page_size = {PAGE}")
        _check(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG}")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk, not only with the kernel
    except sqlite3.Error as error:
        raise described(path, error) from error
    return connection


def _lock(path: Path, stack: ExitStack) -> None:
    """One process at a time: in a file of its own, since SQLite's own locks end when any copy of its file is closed."""
    beside = path.with_name(f"{path.name}.lock")
    try:
        lock = stack.enter_context(beside.open("a+"))
    except OSError as error:
        raise StoreError(f"{beside}: expected a file that may be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read(20).strip()
        raise StoreError(f"{path}: in use by process {holder or '?'}, and one at a time may have it") from None
    try:
        lock.truncate(0)
        os.write(lock.fileno(), f"{os.getpid()}\n".encode())  # at once: what is buffered is tried again by closing
    except OSError as error:
        raise StoreError(f"{beside}: cannot be written: {error.strerror}") from error


def _check(path: Path, connection: sqlite3.Connection) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not tables:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
        return
    if application != APPLICATION:
        raise StoreError(f"{path}: expected a database of Oarlock's, this is another program's")
    if version != VERSION:
        age = "a newer" if version > VERSION else "an older"
        raise StoreError(f"{path}: expected schema {VERSION}, got {version}: {age} Oarlock wrote it")
    damage: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise StoreError(f"{path}: expected an intact database, this one is damaged: {' '.join(damage.split())}")
