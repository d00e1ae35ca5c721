"""The file of a `SqliteStore`: whose it is, and what is said where it cannot be used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine import SqliteStore, StoreError
from engine.storage.file import VERSION
from engine.storage.store import Change, Head
from tests.processes import started_here


def node(key: str, value: object, uid: str = "u1") -> Change:
    return Change(Head(uid, "default", uid), {"node": {key: value}})


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)


async def refusal(path: Path) -> str:
    """What is said where `path` is opened."""
    with pytest.raises(StoreError) as caught:
        async with SqliteStore(path):
            raise AssertionError("it was opened")
    told = str(caught.value)
    assert "\n" not in told
    return told


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store with a workflow of some size in it."""
    path = tmp_path / "oarlock.db"
    async with SqliteStore(path) as store:
        await store.commit(Change(Head("u1", "default", "w"), {"node": {str(n): "x" * 500 for n in range(500)}}))
    return path


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    told = await refusal(tmp_path / "nowhere" / "oarlock.db")
    assert told.endswith(f"expected a file in a directory that exists, {tmp_path / 'nowhere'} is none")
    assert "expected a file" in await refusal(tmp_path)


async def test_what_sqlite_calls_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "expected a file; a MemoryStore" in await refusal(Path(":memory:"))


@pytest.mark.parametrize("content", [b"apiVersion: v1\n" * 300, b"\0" * 8192, b"x"])
async def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "oarlock.db"
    write(path, content)
    assert await refusal(path) == f"{path}: expected a SQLite database, this is none"
    assert read(path) == content


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE workflows (uid)")
    other.close()
    assert await refusal(path) == f"{path}: expected a database of Oarlock's, this is another program's"


@pytest.mark.parametrize(("version", "age"), [(7, "a newer"), (1, "an older")])
async def test_a_schema_of_another_version(path: Path, version: int, age: str) -> None:
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    assert await refusal(path) == f"{path}: expected schema {VERSION}, got {version}: {age} Oarlock wrote it"


async def test_the_tables_are_those_of_their_version(path: Path) -> None:
    """Whoever changes a table has `VERSION` say so."""
    columns = "SELECT t.name, group_concat(c.name, ' ') FROM sqlite_schema t, pragma_table_info(t.name) c"
    with sqlite3.connect(path) as store:
        tables = dict(store.execute(f"{columns} WHERE t.type = 'table' GROUP BY t.name"))
    store.close()
    assert (VERSION, tables) == (
        3,
        {
            "changes": "place workflow revision dense value",
            "counter": "revision",
            "documents": "kind namespace name revision value",
            "workflows": "number uid namespace name phase finished",
        },
    )


@pytest.mark.parametrize("spoil", ["overwrite", "cut"])
async def test_a_file_that_is_damaged(path: Path, spoil: str) -> None:
    content = bytearray(read(path))
    if spoil == "cut":
        del content[len(content) // 2 :]
    else:
        content[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
    write(path, content)
    assert f"{path}: expected an intact database, this one is damaged" in await refusal(path)
    assert read(path) == content


async def test_a_file_that_may_not_be_written(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write every file")
    os.chmod(path, 0o400)
    assert f"{path}: expected a file that may be written" in await refusal(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
async def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "oarlock.db.lock").symlink_to("/dev/full")
    assert (await refusal(tmp_path / "oarlock.db")).startswith(f"{tmp_path}/oarlock.db.lock: cannot be written: ")


async def test_a_second_one_is_refused_and_told_who_has_the_file(path: Path) -> None:
    async with SqliteStore(path) as store:
        told = f"{path}: in use by process {os.getpid()}, and one at a time may have it"
        assert await refusal(path) == told
        other = (
            "import asyncio, sys; from engine import SqliteStore\nasync def main():\n"
            "    async with SqliteStore(sys.argv[1]): pass\nasyncio.run(main())"
        )
        command = (sys.executable, "-c", other, str(path))
        async with started_here(*command, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
            _, err = await process.communicate()
        assert told in err.decode()
        await store.commit(node("a", 1))
    async with SqliteStore(path):
        pass


async def test_a_full_disk_loses_nothing_and_what_fits_goes_on_being_written(path: Path) -> None:
    async with SqliteStore(path) as store:
        assert store._connection is not None
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        revision = store.revision
        large = Change(Head("u1", "default", "w"), {"node": {f"new {n}": "y" * 500 for n in range(500)}})
        failed, written = await asyncio.gather(
            store.commit(large), store.commit(node("a", 1, "u2")), return_exceptions=True
        )
        assert str(failed).startswith(f"{path}: the disk is full")
        assert written == store.revision == revision + 1
        assert len(await store.entries("u1")) == 500
        assert len(await store.entries("u2")) == 1
        store._connection.execute("PRAGMA max_page_count = 100000")
        await store.commit(large)
    async with SqliteStore(path) as store:
        assert len(await store.entries("u1")) == 1000


async def test_a_large_change_beside_one_that_fails_is_written_as_a_whole(path: Path) -> None:
    async with SqliteStore(path) as store:
        large = Change(Head("u1", "default", "w"), {"node": {f"new {n}": n for n in range(500)}})
        beside = Change(Head("u2", "default", "w"), {"node": {f"a {n}": n for n in range(500)} | {"b": object()}})
        written, failed = await asyncio.gather(store.commit(large), store.commit(beside), return_exceptions=True)
        assert written == store.revision
        assert isinstance(failed, StoreError)
        assert len(await store.entries("u1")) == 1000
        assert len(await store.entries("u2")) == 0


async def test_another_program_that_has_the_database_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.file.BUSY", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    async with SqliteStore(path) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program has had it locked"):
            await store.commit(node("a", 1))
        other.execute("ROLLBACK")
        await store.commit(node("a", 1))
    other.close()


async def test_a_backup_is_made_while_it_is_open(path: Path, tmp_path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.commit(node("a", 1, "u2"))
        source, target = sqlite3.connect(path), sqlite3.connect(tmp_path / "backup.db")
        source.backup(target)
        source.close()
        target.close()
        await store.commit(node("b", 1, "u2"))
    async with SqliteStore(tmp_path / "backup.db") as store:
        assert [key for _, key, _ in await store.entries("u2")] == ["a"]


async def test_a_commit_of_one_entry_among_many_writes_little(path: Path) -> None:
    async with SqliteStore(path) as store:
        many = {f"{n * 7919 % 100_003}": {"phase": "Running", "name": f"w.{n}"} for n in range(100_000)}
        await store.commit(Change(Head("u9", "default", "w9"), {"node": many}, whole=True))
        await store.commit(node("5", {"phase": "Succeeded"}, "u9"))
        assert store._connection is not None
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await store.commit(node("77", {"phase": "Succeeded"}, "u9"))
        assert os.stat(f"{path}-wal").st_size <= 32 * 1024


async def test_what_later_changes_made_void_is_dropped(path: Path) -> None:
    async with SqliteStore(path) as store:
        for turn in range(1000):
            await store.commit(node(str(turn % 10), str(turn) * 500, "u2"))
        assert store._connection is not None
        ((size,),) = store._connection.execute("SELECT sum(length(value)) FROM changes WHERE workflow = 2")
        assert 10 * 1500 < size < 3 * 64 * 1024
        read = {key: value for _, key, value in await store.entries("u2")}
    assert read == {str(turn % 10): f'"{str(turn) * 500}"'.encode() for turn in range(990, 1000)}
    async with SqliteStore(path) as store:
        assert {key: value for _, key, value in await store.entries("u2")} == read


async def test_what_is_no_change_is_told(path: Path) -> None:
    async with SqliteStore(path) as store:
        assert store._connection is not None
        store._connection.execute("UPDATE changes SET value = 'x'")
        with pytest.raises(StoreError, match=f"{path}: expected what was written there"):
            await store.entries("u1")


async def test_what_is_no_document_is_told(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.put("ConfigMap", "default", "a", {})
        assert store._connection is not None
        store._connection.execute("UPDATE documents SET value = 'x'")
        with pytest.raises(StoreError, match=f"{path}: expected what was written there"):
            await store.items("ConfigMap")


async def test_of_many_changes_one_waits_for_who_has_it_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.file.BUSY", 0.01)
    begun: list[str] = []
    async with SqliteStore(path) as store:
        assert store._connection is not None
        store._connection.set_trace_callback(lambda statement: begun.append(statement))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        told = await asyncio.gather(*(store.commit(node("a", 1, f"w{n}")) for n in range(9)), return_exceptions=True)
        other.close()
        assert {type(each) for each in told} == {StoreError}
        assert begun.count("BEGIN IMMEDIATE") == 1
        await store.commit(node("a", 1))


async def test_only_its_owner_may_read_what_is_in_it(path: Path) -> None:
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_a_store_that_is_not_open_says_so(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="expected a store that is open"):
        await store.commit(node("a", 1))
    async with store:
        pass
    with pytest.raises(StoreError, match="expected a store that is open"):
        await store.heads()


async def test_patient_changes_wait_for_company(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.sqlite.EACH", 3600.0)
    monkeypatch.setattr("engine.storage.sqlite.APART", 3600.0)
    monkeypatch.setattr("engine.storage.sqlite.ENOUGH", 3)

    def patient(number: int) -> asyncio.Future[int]:
        return store.commit(Change(Head(f"w{number}", "default", f"w{number}"), {"node": {"a": 1}}, patient=True))

    async with SqliteStore(path) as store:
        await patient(0)  # after a rest there is nothing to wait for
        alone = patient(1)
        await asyncio.sleep(0.05)
        assert not alone.done()
        await store.put("ConfigMap", "default", "pressing", {})
        assert alone.done()
        await asyncio.gather(*map(patient, (2, 3, 4)))  # enough of them
        put_off = patient(5)
        assert [head.uid for head in await store.heads(name="w5")] == ["w5"]  # whoever reads has it written
        assert put_off.done()
        last = patient(6)
    assert last.done()
    async with SqliteStore(path) as store:
        assert [head.uid for head in await store.heads(name="w6")] == ["w6"]
        await patient(7)
