"""Who changed what is written down: a line for each call, bodies once each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, PassTold, PendingExecutor, Recorder, RecordError, Told
from engine.recording import bodies
from engine.recording.format import Called
from engine.recording.reading import Record
from registry.config import RetrySettings, Seconds
from rpc import Method
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, workflow
from tests.acceptance.recorded import Read, saying

_FAN = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "3"}}]]}


async def test_each_call_has_a_line_whether_it_travels_alone_or_in_a_batch(
    plugin: StartPlugin, engine: StartEngine, tmp_path: Path
) -> None:
    kinds = []
    for batches in (False, True):
        file = tmp_path / f"{batches}.jsonl"
        peer = await plugin({method: {} for method in Method})
        peer.batches = batches
        subject = await engine(peer, executor=PendingExecutor(), recorder=Recorder(file))
        await subject.reconcile(work := workflow(_FAN, container("work")))
        await subject.reconcile(work)
        await subject.__aexit__(None, None, None)
        kinds.append(
            Counter(
                (call["pass"], call["method"], call.get("node", {}).get("name"))
                for call in Read(file).calls
                if call["outcome"] == "answered"
            )
        )
    assert kinds[0] == kinds[1]
    assert kinds[0][1, "node.preExecute", "work[0].work(1:1)"] == 1
    assert kinds[0][2, "node.preExecute", "work[0].work(1:1)"] == 1
    assert kinds[0][2, "parameters.add", "work[0].work(1:1)"] == 0


def _told(file: Path) -> Counter[tuple[int, str, str]]:
    """The calls of node.preExecute that a record tells of, however many have a line: pass, plugin and node."""
    with Record(file, str) as record:
        told = [each for _, each in record.told(lambda line: True) if isinstance(each, Called)]
        calls = [each for each in told if each.method is Method.NODE_PRE_EXECUTE]
        for call in calls:
            sent = record.sent(call.request)
            assert sent is not None
            assert call.node is not None
            assert sent.arguments["node"]["name"] == call.node.name
    return Counter((call.number, call.plugin, call.node.name) for call in calls if call.node is not None)


async def test_many_calls_of_a_request_that_came_to_nothing_have_one_line(
    plugin: StartPlugin, engine: StartEngine, tmp_path: Path
) -> None:
    main = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "200"}}]]}
    kinds, files = [], []
    for batches in (False, True):
        files.append(tmp_path / f"{batches}.jsonl")
        first = await plugin({"node.preExecute": {}})
        second = await plugin({"node.preExecute": saying(work_30_30={"node": {"message": "seen"}})})
        first.batches = second.batches = batches
        subject = await engine(first, second, executor=PendingExecutor(), recorder=Recorder(files[-1]))
        work = workflow(main, container("work"))
        for _ in range(4):
            await subject.reconcile(work)
        await subject.__aexit__(None, None, None)
        kinds.append(_told(files[-1]))
    assert kinds[0] == kinds[1]
    assert kinds[1][4, "plugin-1", "work[0].work(7:7)"] == 1
    alone, together = map(Read, files)
    each, few = ([call for call in read.calls if call["pass"] == 4] for read in (alone, together))
    assert len(each) == 402
    # There are the more requests, the longer the first ones took.
    silent = [(call["plugin"], *call.get("requests", [call.get("request", "")])) for call in few if "reply" not in call]
    assert set(Counter((name, places[0].partition("/")[0]) for name, *places in silent).values()) == {1}
    many = [call for call in together.calls if "requests" in call]
    assert all(call["outcome"] == "answered" and "request" not in call and "node" not in call for call in many)
    sent = [body["batch"] for body in together.bodies.values() if "batch" in body]
    written = [call["node"] for batch in sent for call in batch["calls"] if "node" in call]
    assert len(written) == len({_text(node) for node in written})


async def test_calls_have_a_line_each_where_their_requests_were_too_long_to_be_kept(
    plugin: StartPlugin, engine: StartEngine, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    peer.batches = True
    subject = await engine(peer, executor=PendingExecutor(), recorder=Recorder(record, max_body=100))
    main = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "40"}}]]}
    await subject.reconcile(workflow(main, container("work")))
    await subject.__aexit__(None, None, None)
    read = Read(record)
    assert len(read.about("work[0].work(7:7)", method="node.preExecute")) == 1
    assert not any("requests" in call for call in read.calls)


async def test_what_was_forgotten_is_written_again_by_another_name(
    plugin: StartPlugin, engine: StartEngine, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_KNOWN", 2)
    peer = await plugin({"node.preExecute": {}})
    subject = await engine(peer, executor=PendingExecutor(), recorder=Recorder(record))
    work = workflow(_FAN, container("work"))
    for _ in range(3):
        await subject.reconcile(work)
    await subject.__aexit__(None, None, None)
    told = _told(record)
    assert told[3, "plugin-1", "work[0].work(1:1)"] == 1
    names = [line["body"] for line in Read(record).lines if "batch" in line]
    assert len(names) == len(set(names))


async def test_what_is_sent_can_be_read_again_and_is_written_once(
    plugin: StartPlugin, engine: StartEngine, record: Path
) -> None:
    peers = [await plugin({"node.preExecute": {}}) for _ in range(2)]
    subject = await engine(*peers, executor=PendingExecutor(), recorder=Recorder(record))
    work = workflow(_FAN, container("work"))
    for _ in range(3):
        await subject.reconcile(work)
    await subject.__aexit__(None, None, None)

    read = Read(record)
    sent = [read.request(call) for call in read.calls if call["method"] == "node.preExecute"]
    received = [args for peer in peers for args in peer.args("node.preExecute")]
    assert sorted(map(_text, sent)) == sorted(map(_text, received))
    batches = [body["batch"] for body in read.bodies.values() if "batch" in body]
    written = [call for batch in batches for call in batch["calls"] if "node" in call]
    assert len(written) == len({_text(args) for args in received})


async def test_what_a_call_changed_is_told_as_old_and_new(
    plugin: StartPlugin, engine: StartEngine, record: Path
) -> None:
    peer = await plugin(
        {
            "workflow.preOperate": {"workflow": {"metadata": {"labels": {"team": "blue"}}}},
            "parameters.add": {"parameters": {"hello": "good morning"}},
            "node.preExecute": {"node": {"phase": "Failed", "message": "no", "outputs": {"result": "1"}}},
        }
    )
    watching = await plugin({"node.postExecute": {"node": {"message": "still no"}}})
    subject = await engine(peer, (watching, {"mode": "observe"}), recorder=Recorder(record))
    await subject.run([work := workflow(container("main"))])
    await subject.__aexit__(None, None, None)

    read = Read(record)
    assert work.nodes["work"].message == "no"
    (first, *_) = read.calls
    assert first["method"] == "workflow.preOperate"
    assert first["changed"] == {"metadata.labels.team": [None, "blue"]}
    (added,) = read.about("work", method="parameters.add", plugin="plugin-1")
    assert added["changed"] == {"parameters.hello": [None, "good morning"]}
    (failed,) = read.about("work", method="node.preExecute", plugin="plugin-1")
    assert failed["changed"] == {
        "phase": ["Pending", "Failed"],
        "message": ["", "no"],
        "outputs": [None, {"result": "1"}],
    }
    assert read.bodies[failed["reply"]]["json"] == peer.answers["node.preExecute"]
    (watched,) = read.about("work", method="node.postExecute", plugin="plugin-2")
    assert "changed" not in watched
    assert watched["would_change"] == {"message": ["no", "still no"]}


async def test_an_aborted_pass_says_why_and_its_answers_count_in_the_next(
    plugin: StartPlugin, engine: StartEngine, record: Path
) -> None:
    first = await plugin({"node.preExecute": {"node": {"message": "seen"}}})
    second = await plugin({"node.preExecute": 503})
    settings = {"retry": RetrySettings(attempts=2, backoff=Seconds(0.001), max_backoff=Seconds(0.001))}
    subject = await engine(first, (second, settings), executor=PendingExecutor(), recorder=Recorder(record))
    work = workflow(container("main"))
    await subject.reconcile(work)
    second.answers["node.preExecute"] = {}
    await subject.reconcile(work)
    await subject.__aexit__(None, None, None)

    read = Read(record)
    assert [end["result"] for end in read.ends] == ["aborted", "committed"]
    assert "503" in read.ends[0]["reason"]
    busy, good = read.about("work", plugin="plugin-2", method="node.preExecute")
    assert busy["outcome"] == "busy"
    assert busy["attempts"] > 1
    assert "503" in busy["error"]
    assert good["outcome"] == "answered"
    asked, known = read.about("work", plugin="plugin-1", method="node.preExecute")
    assert asked["changed"] == known["changed"] == {"message": ["", "seen"]}
    assert known["known"]
    assert "travelled" not in known


async def test_a_reply_that_is_refused_says_why(plugin: StartPlugin, engine: StartEngine, record: Path) -> None:
    peer = await plugin({"node.preExecute": {"node": {"id": "another"}}})
    subject = await engine(peer, recorder=Recorder(record))
    await subject.run([workflow(container("main"))])
    await subject.__aexit__(None, None, None)
    (call,) = Read(record).about("work", method="node.preExecute")
    assert "id may not be changed" in call["error"]
    assert call["changed"]["phase"] == ["Pending", "Error"]


async def test_bodies_are_bounded(plugin: StartPlugin, engine: StartEngine, record: Path) -> None:
    long = "x" * 5000
    peer = await plugin({"node.preExecute": {"node": {"message": long}}})
    subject = await engine(peer, executor=PendingExecutor(), recorder=Recorder(record, max_body=1000))
    await subject.reconcile(workflow(container("main", long)))
    await subject.__aexit__(None, None, None)
    read = Read(record)
    (call,) = read.about("work", method="node.preExecute")
    for name in (call["request"], call["reply"]):
        assert len(read.bodies[name]["cut"]) == 1000
        assert read.bodies[name]["bytes"] > 5000
    assert len(read.text) < 16_000


async def test_a_record_goes_on_after_the_last_line_was_cut_off(
    plugin: StartPlugin, engine: StartEngine, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    for _ in range(2):
        subject = await engine(peer, executor=PendingExecutor(), recorder=Recorder(record))
        await subject.reconcile(workflow(container("main")))
        await subject.__aexit__(None, None, None)
        _cut_off(record)
    lines = _lines(record)
    headers = [number for number, line in enumerate(lines) if "oarlock-calls" in line]
    assert len(headers) == 2
    broken = [number for number, line in enumerate(lines) if not line.endswith("}")]
    assert broken == [headers[1] - 1, len(lines) - 1]


async def test_only_one_may_write_a_record_and_nothing_else_is_taken_for_one(
    engine: StartEngine, record: Path, tmp_path: Path
) -> None:
    first = await engine(recorder=Recorder(record))
    second = Recorder(record)
    for _ in range(2):
        with pytest.raises(RecordError, match="another process"):
            await engine(recorder=second)
    await first.__aexit__(None, None, None)
    await engine(recorder=second)
    with pytest.raises(RecordError, match="a recorder for each engine"):
        await engine(recorder=second)
    other = tmp_path / "notes.txt"
    other.write_text("milk\n")
    with pytest.raises(RecordError, match="expected a record"):
        await engine(recorder=Recorder(other))
    assert other.read_text() == "milk\n"
    other.write_text('{"format":"oarlock-calls","version":2}\n')
    with pytest.raises(RecordError, match="expected a record of version 1, got version 2"):
        await engine(recorder=Recorder(other))
    with pytest.raises(RecordError, match="expected a file"):
        await engine(recorder=Recorder("/dev/null"))
    with pytest.raises(ValueError, match="max_body"):
        Recorder(record, max_body=0)


async def test_listeners_hear_of_what_was_said_without_a_file(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {"node": {"phase": "Skipped"}}, "node.postExecute": {}})
    recorder, heard = Recorder(), list[Told | PassTold]()
    recorder.listeners.append(heard.append)
    subject = await engine(peer, recorder=recorder)
    await subject.run([work := workflow(container("main"))])
    said, *ends = heard
    assert isinstance(said, Told)
    assert (said.plugin, said.name, said.uid) == ("plugin-1", "work", work.uid)
    assert said.changed == {"phase": ("Pending", "Skipped")}
    assert [end.ended for end in ends if isinstance(end, PassTold)] == ["committed"]


async def test_a_disk_that_is_full_ends_the_record_and_nothing_else(
    plugin: StartPlugin, engine: StartEngine, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    peer = await plugin({"node.preExecute": {}})
    recorder = Recorder(record)
    subject = await engine(peer, recorder=recorder)
    monkeypatch.setattr("os.writev", full)
    await subject.run([work := workflow(container("main"))])
    await subject.__aexit__(None, None, None)
    assert work.phase == "Succeeded"
    assert recorder.error == "No space left on device"


async def test_a_pass_that_is_cancelled_says_so(plugin: StartPlugin, engine: StartEngine, record: Path) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def late(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await over.wait()
        return {}

    peer = await plugin({"node.preExecute": late})
    subject: Engine = await engine((peer, {"timeout": 600.0}), recorder=Recorder(record))
    passing = asyncio.create_task(subject.reconcile(workflow(container("main"))))
    await asked.wait()
    passing.cancel()
    await asyncio.wait([passing])
    over.set()
    await subject.__aexit__(None, None, None)
    read = Read(record)
    assert [end["result"] for end in read.ends] == ["cancelled"]
    (call,) = read.about("work", method="node.preExecute")
    assert call["outcome"] == "cancelled"


def _cut_off(record: Path) -> None:
    """As when the process was killed."""
    with record.open("a") as file:
        file.write('{"pass":1,"plugin":"plug')


def _lines(record: Path) -> list[str]:
    return record.read_text().splitlines()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
