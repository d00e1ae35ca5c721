"""The plugins of the soak, in calling order, and the process of each."""

from __future__ import annotations

from collections.abc import Collection

from rpc import Method
from tests.soak.configuration import Listed, Options
from tests.soak.processes import Processes


def plugins(processes: Processes, seed: int, methods: Collection[Method]) -> list[Listed]:
    """Those whose word is counted come first and last; only those that may fail ever say something wrong.

    They know the `methods` and no others. Where those are few, nothing else keeps a large wave of visits from going out
    the fast way: `payload` is the same for all, and so is the lane.
    """
    known = ",".join(methods)

    def faulty(name: str, kind: str, *, unix: bool = False) -> str:
        module = "tests.soak.peers.faulty"
        calm = (module, "calm", str(seed), known)
        return processes.add(name, module, kind, str(seed), known, calm=calm, unix=unix).address

    def sound(name: str, *, unix: bool = False) -> str:
        return processes.add(name, "tests.soak.peers.sound", name, known, unix=unix).address

    breaker: Options = {"breaker": {"min_calls": 10, "open_for": "200ms"}}
    fixed: Options = {**breaker, "concurrency": 16}
    hostile: Options = {"failure_policy": "ignore", "max_body": 1_000_000}
    # No breaker, and retries without end: it is the budget that must stop them.
    greedy: Options = {
        "breaker": {"failure_ratio": 1.0, "min_calls": 1_000_000},
        "retry": {"attempts": 20, "backoff": "1ms", "max_backoff": "10ms"},
    }
    few = Method.NODE_POST_EXECUTE not in methods
    observed: Options = {"mode": "observe", "payload": "metadata" if few else "full", "concurrency": 16}
    patient = ("600ms", "800ms")
    plain = processes.add("plain", "tests.soak.peers.plain").address
    return [
        Listed("first", sound("first"), dict(breaker), patient, stays=True),
        Listed("plain", plain, dict(breaker), patient, stays=True),
        Listed("flaky", faulty("flaky", "flaky"), dict(fixed)),
        Listed("flaky-unix", faulty("flaky-unix", "flaky", unix=True), dict(breaker)),
        Listed("hostile", faulty("hostile", "hostile"), {**fixed, **hostile, **greedy}),
        Listed("liar", faulty("liar", "liar"), observed),
        Listed("last", sound("last", unix=True), dict(breaker), patient, stays=True),
        Listed("mapped-calm", faulty("mapped-calm", "calm"), {}, mapped=True),
        Listed("mapped-hostile", faulty("mapped-hostile", "hostile"), dict(hostile), mapped=True),
    ]
