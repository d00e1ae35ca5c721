"""`oarlock explain` tells who changed what; `oarlock replay` asks another version of a plugin the same."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import pytest
import trustme

from engine import PendingExecutor, Recorder, Workflow
from engine.cli import replaying
from engine.recording import reading
from rpc import Method
from tests.acceptance.fixtures import Ended, RunOarlock, StartEngine, StartPlugin
from tests.acceptance.manifests import container, workflow
from tests.acceptance.peer import Answer, Peer

_FAN = {"name": "main", "steps": [[{"name": "work", "template": "work", "withSequence": {"count": "2"}}]]}


async def _recorded(
    engine: StartEngine, record: Path, *peers: Peer | tuple[Peer, dict[str, Any]], work: Workflow, passes: int = 1
) -> None:
    subject = await engine(*peers, executor=PendingExecutor(), recorder=Recorder(record))
    for _ in range(passes):
        await subject.reconcile(work)
    await subject.__aexit__(None, None, None)


def _fan() -> Workflow:
    return workflow(_FAN, container("work"))


def _on(name: str, reply: Mapping[str, Any]) -> Answer:
    return lambda args: reply if args["node"]["displayName"] == name else {}


@pytest.mark.parametrize("batches", [False, True])
async def test_the_story_of_a_node_says_who_made_it_fail(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path, *, batches: bool
) -> None:
    silent = await plugin({"node.preExecute": {}})
    guilty = await plugin({"node.preExecute": _on("work(1:1)", {"node": {"phase": "Failed", "message": "no"}})})
    for peer in (silent, guilty):
        peer.batches = batches
    await _recorded(engine, record, silent, guilty, work=(work := _fan()), passes=2)

    (node,) = [each for each in work.nodes.values() if each.display_name == "work(1:1)"]
    for name in (node.id, node.name, node.display_name):
        told = oarlock("explain", str(record), name)
        assert told.code == 0
        head, silence, answered, phase, message, *rest = told.out.splitlines()
        assert head == f"node work[0].work(1:1) (id {node.id}) of workflow default/work (uid {work.uid})"
        assert "plugin-1" in silence
        assert "plugin-2  node.preExecute: answered" in answered
        assert phase.strip() == 'phase: "Pending" -> "Failed"'
        assert message.strip() == 'message: "" -> "no"'
        assert not any("work(0:0)" in line for line in rest)


async def test_the_story_of_a_workflow_tells_of_all_that_was_said(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin(
        {
            "workflow.preOperate": {"workflow": {"metadata": {"labels": {"team": "blue"}}}},
            "node.preExecute": _on("work(0:0)", {"node": {"message": "seen"}}),
        }
    )
    await _recorded(engine, record, peer, work=_fan())
    for arguments in ([], ["work"], ["default/work"], ["work", "--workflow", "default/work"]):
        told = oarlock("explain", str(record), *arguments)
        assert told.code == 0
        assert 'metadata.labels.team: null -> "blue"' in told.out
        assert "node.preExecute  work[0].work(0:0): answered" in told.out
        assert "the workflow is Running" in told.out
    events = [json.loads(line) for line in oarlock("explain", str(record), "--json").out.splitlines()]
    assert events[0]["workflow"] == "default/work"
    assert any(event.get("reply") == {"node": {"message": "seen"}} for event in events)


async def test_what_somebody_else_did_to_a_node_is_told_as_such(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    await _recorded(engine, record, peer, work=_fan(), passes=2)
    told = oarlock("explain", str(record), "work(0:0)").out
    assert "the node is Running now, which is no plugin's doing" in told


async def test_where_another_process_went_on_is_told_with_the_pass_that_has_no_end(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin({"node.preExecute": _on("work(0:0)", {"node": {"message": "seen"}})})
    work = _fan()
    for _ in range(2):
        await _recorded(engine, record, peer, work=work)
    told = oarlock("explain", str(record)).out
    assert told.count("  another process went on, which counts passes anew\n") == 1
    _leave_out_ends(record)
    for name in ("", "work(0:0)"):
        told = oarlock("explain", str(record), name).out
        assert "another process went on, which counts passes anew; whether pass 1 counted is not recorded" in told


def _leave_out_ends(record: Path) -> None:
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(line for line in lines if b'"ended"' not in line))


async def test_a_name_that_may_mean_more_is_refused_with_what_it_may_mean(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    first, second = _fan(), _fan()
    for work in (first, second):
        await _recorded(engine, record, peer, work=work)
    for name in ("work(0:0)", "work", ""):
        ended = oarlock("explain", str(record), name)
        assert ended.code == 2
        assert first.uid in ended.err
        assert second.uid in ended.err
        assert len(ended.err.splitlines()) == 1
        assert oarlock("explain", str(record), name, "--workflow", second.uid).code == 0
    ended = oarlock("explain", str(record), "nobody")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "got 'nobody'" in ended.err
    ended = oarlock("explain", str(record), "\udcff")
    assert (ended.code, ended.err.splitlines()[-1]) == (
        2,
        "Error: Invalid value for '[NODE]': expected UTF-8, got bytes that are none",
    )


async def test_an_aborted_pass_is_told_with_its_reason(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    first = await plugin({"node.preExecute": {"node": {"message": "seen"}}})
    second = await plugin({"node.preExecute": 503})
    await _recorded(engine, record, first, second, work=workflow(container("main")))
    told = oarlock("explain", str(record), "work").out
    assert "pass 1 was aborted: plugin 'plugin-2', node.preExecute: " in told
    assert "nothing in it counts" in told


async def test_nothing_that_a_plugin_says_steers_the_terminal(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    evil = "\x1b[31mred\x1b]8;;http://evil\x07\u202e\x9b1m\uffff\ufffe\n<script>"
    peer = await plugin({"node.preExecute": {"node": {"phase": "Failed", "message": evil}}})
    await _recorded(engine, record, peer, work=workflow(container("main")))
    other = await plugin({"node.preExecute": {"node": {"phase": "Failed", "message": f"other {evil}"}}})
    replayed = await _replay(oarlock, record, "--plugin", f"plugin-1={other.address}", "--junit", "junit.xml")
    assert replayed.code == 1
    shown = [oarlock("explain", str(record), "work").out, oarlock("explain", str(record), "--json").out, replayed.out]
    shown.append(_text(record.with_name("junit.xml")))
    for text in shown:
        assert not any(character in text for character in "\x1b\x07\u202e\x9b")
    assert "<script>" not in shown[3]
    ElementTree.fromstring(shown[3])


async def test_a_record_is_checked_while_it_is_read(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await plugin({"node.preExecute": {}})
    await _recorded(engine, record, peer, work=workflow(container("main")))
    good = _text(record)

    def refused(text: str) -> str:
        _write(record, text)
        ended = oarlock("explain", str(record))
        assert ended.code == 2
        (line,) = ended.err.splitlines()
        return line

    assert "expected a record" in refused("")
    assert "expected a record" in refused("milk\n")
    assert "version 1, got version 7" in refused(good.replace('"version":1', '"version":7', 1))
    assert "line 2: expected a line of a record" in refused(good.replace("\n", "\nmilk\n", 1))
    assert "expected a line of a record" in refused(good.replace('"pass":1', '"pass":', 1))
    _write(record, good + good[: len(good) // 3])
    ended = oarlock("explain", str(record))
    assert ended.code == 0
    _write(record, good + '{"pass":1,"plug')
    ended = oarlock("explain", str(record))
    assert ended.code == 0
    assert "is cut off, and is passed over" in ended.err
    _write(record, good[: good.rindex("{")] + '{"pass":1,"plug\n' + good)  # a process was killed, and another went on
    assert oarlock("explain", str(record), "--workflow", "work").code == 0
    monkeypatch.setattr(reading, "MAX_LINE", 4096)
    assert "expected at most" in refused(good + '{"' + "x" * 5000)
    assert oarlock("explain", "nowhere.jsonl").code == 2


async def test_replies_are_compared_by_what_they_mean(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    old: dict[str, Answer] = {
        Method.NODE_PRE_EXECUTE: {
            "node": {
                "message": "m",
                "phase": None,
                "outputs": {"parameters": [{"name": "a", "value": 1}, {"name": "b", "value": "2"}]},
            },
            "requeue": "60s",
        },
        Method.PARAMETERS_ADD: {"parameters": {}},
        Method.WORKFLOW_POST_OPERATE: {},
    }
    new: dict[str, Answer] = {
        Method.NODE_PRE_EXECUTE: {
            "requeue": "1m",
            "unknown": 1,
            "node": {
                "outputs": {"parameters": [{"name": "b", "value": 2}, {"value": "1", "name": "a"}]},
                "message": "m",
            },
        },
        Method.PARAMETERS_ADD: {},
        Method.WORKFLOW_POST_OPERATE: {"workflow": {}},
    }
    await _recorded(engine, record, await plugin(old, spelling="go"), work=_fan(), passes=2)
    peer = await plugin(new, spelling="v1")
    for peer.batches in (False, True):
        ended = await _replay(oarlock, record, "--plugin", f"plugin-1={peer.address}")
        assert ended.out.splitlines()[-1].endswith(", different 0"), ended.out
        assert ended.code == 0


async def test_replies_that_differ_are_listed_and_end_in_1(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    await _recorded(
        engine,
        record,
        await plugin({"node.preExecute": {"node": {"message": "old"}}}),
        work=workflow(container("main")),
    )
    peer = await plugin({"node.preExecute": {"node": {"message": "new"}}})
    ended = await _replay(oarlock, record, "--plugin", f"plugin-1={peer.address}", "--junit", "junit.xml")
    assert ended.code == 1
    assert "node.message" in ended.out
    assert '"old"' in ended.out
    assert '"new"' in ended.out
    suites = ElementTree.fromstring(_text(record.with_name("junit.xml")))
    assert suites.get("failures") == "1"
    (failed,) = [case for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed.get("classname") == "plugin-1.node.preExecute"
    peer.answers["node.preExecute"] = 500
    ended = await _replay(oarlock, record, "--plugin", f"plugin-1={peer.address}")
    assert ended.code == 1
    assert "bad_status, status 500" in ended.out


async def test_values_that_begin_alike_for_long_are_shown_from_where_they_differ(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer, other = [
        await plugin({"node.preExecute": {"node": {"message": f"{'m' * 1000}{said}{'m' * 1000}"}}})
        for said in ("old", "other")
    ]
    await _recorded(engine, record, peer, other, work=workflow(container("main")))
    *_, changed = [each for each in oarlock("explain", str(record)).out.splitlines() if "message:" in each]
    assert "mold" in changed
    assert "mother" in changed
    peer.answers["node.preExecute"] = {"node": {"message": f"{'m' * 1000}new{'m' * 1000}"}}
    replay = "--plugin", f"plugin-1={peer.address}", "--junit", "junit.xml"
    shown = (await _replay(oarlock, record, *replay)).out
    assert "mold" in shown
    assert "mnew" in shown
    junit = _text(record.with_name("junit.xml"))
    assert "mold" in junit
    assert "mnew" in junit
    assert max(map(len, (shown, junit))) < 2000


async def test_what_was_not_kept_or_not_answered_is_left_out_and_counted(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    long = "x" * 100_000
    peer = await plugin({"node.preExecute": {"node": {"message": long}}, "node.postExecute": 503})
    await _recorded(engine, record, peer, work=workflow(container("main")))
    peer.answers |= {"node.preExecute": {}, "node.postExecute": {}}
    ended = await _replay(oarlock, record, "--plugin", f"plugin-1={peer.address}")
    assert ended.code == 0
    assert "left out 1: not all of the call or its reply was kept" in ended.out
    assert ": it was not answered" in ended.out


async def test_a_plugin_that_is_not_there_is_bad_input(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    await _recorded(engine, record, peer, work=workflow(container("main")))
    for given, named in (
        (f"other={peer.address}", "other"),
        ("plugin-1=http://127.0.0.1:1", "plugin-1"),
        ("plugin-1=nowhere", "plugin-1"),
        ("plugin-1=http://\udcff", "plugin-1: 'http://\\udcff'"),
        (f"o\x1bther={peer.address}", "o\\x1bther"),
        (f"o\udcffther={peer.address}", "o\\udcffther"),
    ):
        ended = await _replay(oarlock, record, "--plugin", given)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1
        assert named in ended.err
    twice = f"plugin-1={peer.address}"
    ended = await _replay(oarlock, record, "--plugin", twice, "--plugin", twice)
    assert ended.code == 2
    assert ended.err.startswith("Error: --plugin plugin-1: expected one address, got ")
    ended = await _replay(oarlock, record, "--plugin", f"plugin-1={peer.address}", "--junit", "/nowhere/junit.xml")
    assert ended.code == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
async def test_a_disk_that_is_full_of_test_cases_is_told_with_where_they_are(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await plugin({"node.preExecute": {}})
    await _recorded(engine, record, peer, work=workflow(container("main")))

    def full(*mode: str, encoding: str) -> IO[str]:
        return open("/dev/full", "w+", encoding=encoding)

    monkeypatch.setattr(replaying, "TemporaryFile", full)
    given = "--plugin", f"plugin-1={peer.address}", "--junit", str(record.with_name("junit.xml"))
    ended = await _replay(oarlock, record, *given)
    assert ended.code == 2
    assert ended.err == f"Error: --junit: {tempfile.gettempdir()}, for temporary files: No space left on device\n"


async def test_a_plugin_with_an_unknown_certificate_is_bad_input(
    plugin: StartPlugin, engine: StartEngine, oarlock: RunOarlock, record: Path
) -> None:
    peer = await plugin({"node.preExecute": {}})
    await _recorded(engine, record, peer, work=workflow(container("main")))
    context, authority = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), trustme.CA()
    authority.issue_cert("localhost").configure_cert(context)
    trusted = record.with_name("ca.pem")
    authority.cert_pem.write_to_path(str(trusted))
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        address = f"plugin-1=https://localhost:{port}"
        ended = await _replay(oarlock, record, "--plugin", address)
        known = await _replay(oarlock, record, "--plugin", address, "--ca-file", str(trusted))
    assert ended.code == 2
    assert ended.err.startswith("Error: --plugin plugin-1: TLS ")
    assert len(ended.err.splitlines()) == 1
    assert "--ca-file" in ended.err
    assert known.code == 1  # it can be trusted, and answers nothing


async def _replay(oarlock: RunOarlock, record: Path, *arguments: str) -> Ended:
    """In a thread: the plugin that it asks is here."""
    return await asyncio.to_thread(oarlock, "replay", str(record), *arguments)


def _text(file: Path) -> str:
    return file.read_text()


def _write(file: Path, text: str) -> None:
    file.write_text(text)
