"""What must hold for every reply, and how to make one for which it does not as small as possible."""

from __future__ import annotations

import re
from random import Random
from typing import Final, TypeGuard

from rpc.lanes import BEWILDERED, Response
from tests.fuzz.feeding import AiohttpFeed, Feed, Hung, Verdict, WireFeed
from tests.fuzz.generate import Input
from tests.fuzz.verdicts import Wrong

# aiohttp brings an older llhttp. It lets an empty Transfer-Encoding pass in places that the lane cannot see, such as
# trailers; and of a folded one only llhttp itself knows what it has made.
_PARSERS_DIFFER: Final = re.compile(rb"transfer-encoding[ \t]*:(?:[ \t]*[\r\n]|[^\n]*\n[ \t])", re.IGNORECASE)


class Disagreement(Wrong):
    """An input on which something that must hold does not."""

    def __init__(self, case: Input, verdicts: dict[str, Verdict | str]) -> None:
        super().__init__("\n".join(f"{who}: {verdict}" for who, verdict in verdicts.items()), case)
        self.case: Input = case


class Checker:
    """Both lanes; each goes on with the connection that the input before has left it, where it has left one."""

    def __init__(self) -> None:
        self._wire = WireFeed()
        self._aiohttp = AiohttpFeed()

    async def check(self, case: Input) -> Verdict:
        """What both make of `case`. Raises `Disagreement`."""
        verdict = await self._try(self._wire, case)
        verdicts = {"wire lane": verdict}
        if _PARSERS_DIFFER.search(case.raw) is None:
            verdicts["aiohttp lane"] = await self._try(self._aiohttp, case)
        if case.cuts:
            verdicts["wire lane, uncut"] = await self._try(self._wire, Input(case.raw, (), case.ending))
        if case.cuts and len(case.raw) < 400 and Random(case.raw).random() < 0.1:
            bytewise = Input(case.raw, tuple(range(1, len(case.raw))), case.ending)
            verdicts["wire lane, byte by byte"] = await self._try(self._wire, bytewise)
        outcomes = {repr(it.outcome if isinstance(it, Verdict) else it) for it in verdicts.values()}
        both = {it.kept for who, it in verdicts.items() if _tells(it) and "," not in who}
        if len(outcomes) > 1 or len(both) > 1 or not isinstance(verdict, Verdict):
            raise Disagreement(case, verdicts)
        return verdict

    async def _try(self, feed: Feed, case: Input) -> Verdict | str:
        try:
            return await feed.play(case.pieces, case.ending)
        except Hung:
            return "hung"

    async def aclose(self) -> None:
        await self._wire.lane.aclose()
        await self._aiohttp.lane.aclose()


def _tells(verdict: Verdict | str) -> TypeGuard[Verdict]:
    """Whether both lanes have to think alike of the connection: how much one of those statuses is believed depends on
    what the lane's connections have been through before."""
    if not isinstance(verdict, Verdict):
        return False
    return not (isinstance(verdict.outcome, Response) and verdict.outcome.status in BEWILDERED)


async def minimize(found: Disagreement) -> Disagreement:
    """The smallest disagreement that comes of leaving parts out of `found`."""
    best = found
    size = max(1, len(found.case.raw) // 2)
    while True:
        raw, smaller = best.case.raw, None
        candidates = [Input(raw, (), best.case.ending)] if best.case.cuts else []
        candidates += [
            Input(
                raw[:at] + raw[at + size :], tuple(c for c in best.case.cuts if c < len(raw) - size), best.case.ending
            )
            for at in range(0, len(raw), size)
        ]
        for case in candidates:
            smaller = await _disagreement(case)
            if smaller is not None:
                best = smaller
                break
        if smaller is None:
            if size == 1:
                return best
            size //= 2


async def _disagreement(case: Input) -> Disagreement | None:
    checker = Checker()
    try:
        await checker.check(case)
    except Disagreement as found:
        return found
    finally:
        await checker.aclose()
    return None
