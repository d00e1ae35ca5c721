"""A webhook hears of every end of a workflow, whatever brought it about, once."""

from __future__ import annotations

from engine.testing import Oarlock
from rpc.plugin import Plugin
from tests.examples.use_cases.conftest import CASES, Receiver, Serve, assert_told

WORKFLOW = (CASES / "notify/workflow.yaml").read_text()


def test_a_webhook_is_told_of_every_end(oarlock: Oarlock, serve: Serve, receiver: Receiver) -> None:
    notify = serve("notify/notify.py", "notify/notify_server.py", WEBHOOK_URL=receiver.url)
    invalid = oarlock.run(WORKFLOW, plugins=[notify])
    assert_told("notify", invalid)
    good = WORKFLOW.replace("- name: date", "- {name: date, value: today}")
    oarlock.run(good, plugins=[notify])
    oarlock.run(good, plugins=[notify], outcomes={"main": {"phase": "Failed", "message": "no data"}})
    broken = Plugin("broken")

    @broken.on("workflow.preOperate")
    def fail(args: dict[str, object]) -> None:
        raise ValueError("never mind")

    oarlock.run(good, plugins=[notify, broken])
    texts = [body["text"] for _, _, body in receiver.got]
    assert texts[0] == f"default/nightly {invalid.phase} {invalid.message}"
    assert texts[1] == "default/nightly Succeeded"
    assert texts[2].startswith("default/nightly Failed")
    assert texts[3].startswith("default/nightly Error plugin 'broken', workflow.preOperate: status 500")
    assert len(texts) == 4
    assert len({headers["Idempotency-Key"] for _, headers, _ in receiver.got}) == 4


def test_one_that_is_out_of_order_is_told_later(oarlock: Oarlock, serve: Serve, receiver: Receiver) -> None:
    notify = serve("notify/notify.py", "notify/notify_server.py", WEBHOOK_URL=receiver.url)
    receiver.statuses = [503, 503]
    result = oarlock.run(WORKFLOW, plugins=[oarlock.plugin(notify, retry={"attempts": 1})])
    assert [call.outcome for call in result.calls] == ["busy", "busy", "answered"]
    assert [body["text"] for _, _, body in receiver.got] == [f"default/nightly {result.phase} {result.message}"]
