"""What was sent and what was replied, written once each.

Requests about nodes are written many at a time, in the form of a batch, which they mostly are already when they are
sent: what they have in common stands once, and a hundred thousand of them cost little. Each is known by the name of
that body and its place in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from secrets import randbits
from typing import Final

import msgspec
import orjson
from xxhash import xxh3_64_hexdigest, xxh3_128_digest

from engine.model.node import Node
from engine.recording.appending import CHUNK, Lines
from engine.recording.secrets import Secrets
from rpc.batches import CallBatch

FEW: Final = 16
"""Calls that came to nothing and have a line each: one line for all is harder to search, and saves little."""
MOST_KNOWN: Final = 1 << 17
"""Bodies that are remembered as written, in 200 bytes each; beyond that they are all written once more."""

About = Callable[[], Sequence[Node | None]]
"""The nodes that calls are about; None for the workflow."""

_encoder: Final = msgspec.json.Encoder()
_WORKFLOW: Final = b'{"workflow":'


class Requests:
    """Those that are written. Each has a number; those of one body have numbers in a row, and no two bodies have."""

    def __init__(self, first: int = 0) -> None:
        self.numbers: dict[bytes, int] = {}
        """By digest, of those that `settle` has come by: to look each up costs as much as to write it."""
        self.next = first
        self.count = 0
        self._unsettled: list[tuple[Sequence[bytes], range]] = []
        self.rows: dict[bytes, range | None] = {}
        """Of questions that were written together, by a digest of their digests: mostly they come again together."""
        self._firsts: list[int] = []
        self._names: list[str] = []

    def add(self, name: str, digests: Sequence[bytes]) -> range:
        """They are in a body of that name, which ends in ``/`` where their places are to follow."""
        row = range(self.next, self.next + len(digests))
        self.next = row.stop + 1
        self.count += len(row)
        self._firsts.append(row.start)
        self._names.append(name)
        self._unsettled.append((digests, row))
        return row

    def settle(self) -> dict[bytes, int]:
        """The numbers of all."""
        for digests, row in self._unsettled:
            self.numbers.update(zip(digests, row, strict=True))
        self._unsettled.clear()
        return self.numbers

    def body(self, number: int) -> tuple[str, int]:
        """The name of the body that a request is in, as in `add`, and its place in that."""
        at = bisect_right(self._firsts, number) - 1
        return self._names[at], number - self._firsts[at]


class Subjects:
    """What calls are about: what lines say of their requests and nodes. The calls are known by their places."""

    def __init__(self, requests: Requests, numbers: Sequence[int], about: About, secrets: Secrets) -> None:
        self._requests = requests
        self._numbers = numbers
        self._about = about
        self._secrets = secrets
        self._silent: tuple[Sequence[int], Sequence[bytes]] = ((), ())
        self.count = len(numbers)

    @cached_property
    def each(self) -> Sequence[bytes]:
        """What the line of each call says."""
        requests = list[str]()
        for run in _runs(self._numbers, range(len(self._numbers))):
            name, first = self._requests.body(self._numbers[run[0]])
            requests += [f"{name}{first + at}" for at in range(len(run))] if name.endswith("/") else [name]
        lines = [
            {"request": request} if node is None else {"request": request, "node": {"id": node.id, "name": node.name}}
            for request, node in zip(requests, self._about(), strict=True)
        ]
        text = _encoder.encode_lines(lines)
        if self._secrets.found(text):
            text = b"".join([self._secrets.without(line)[0] + b"\n" for line in text.splitlines()])
        return text[1:-2].split(b"}\n{")

    def silent(self, places: Sequence[int]) -> Sequence[bytes]:
        """What the lines of calls say that came to nothing: those in a row have one together."""
        if len(places) == 1:
            return self.each[places[0] : places[0] + 1]
        if places != self._silent[0]:  # else the plugin before was asked the same
            alone, together = list[bytes](), list[str]()
            for run in _runs(self._numbers, places):
                if len(run) > FEW:
                    name, first = self._requests.body(self._numbers[run[0]])
                    together.append(f"{name}{first}-{first + len(run) - 1}")
                else:
                    alone += [self.each[place] for place in run]
            self._silent = places, [b'"requests":' + orjson.dumps(together), *alone] if together else alone
        return self._silent[1]


def _runs(numbers: Sequence[int], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """The places, in parts of which each has numbers in a row."""
    if isinstance(numbers, range) and len(places) == len(numbers):
        yield places
        return
    begun, last = 0, numbers[places[0]]
    for at, place in enumerate(places[1:], start=1):
        if numbers[place] != last + 1:
            yield places[begun:at]
            begun = at
        last = numbers[place]
    yield places[begun:]


class Bodies:
    """Those in one file. Of each part of a body ``most`` bytes are kept."""

    def __init__(self, file: Lines, secrets: Secrets, most: int) -> None:
        self._file = file
        self._secrets = secrets
        self._most = most
        self._requests = Requests()
        self._settled = True
        self._others: set[bytes] = set()
        """Digests of the other bodies that are written: replies, workflows."""
        self._seed = randbits(64)
        """So that nobody can look for two bodies with one digest."""

    def begin(self) -> None:
        """A pass begins: what was asked in those before it may be asked again."""
        self._settled = False

    def requests(self, digests: Sequence[bytes], batch: CallBatch, about: About, *, again: bool) -> Subjects:
        """What lines say of the calls of a batch, whose questions have these digests. What is new is written.

        ``again``: they may have been asked in this pass before.
        """
        if self._requests.count + len(self._others) > MOST_KNOWN:
            self._requests, self._others = Requests(self._requests.next), set()
        row = xxh3_128_digest(b"".join(digests))
        numbers: Sequence[int] | None = self._requests.rows.get(row)
        if numbers is None:
            if again or not self._settled:
                self._requests.settle()
                self._settled = True
            known = self._requests.numbers
            if known.keys().isdisjoint(digests):
                numbers = self._requests.rows[row] = self._write_requests(digests, batch, about())
            elif new := [place for place, digest in enumerate(digests) if digest not in known]:
                self._write_requests(*_part(new, digests, batch, about()))
            if numbers is None:
                known = self._requests.settle()
                numbers = [known[digest] for digest in digests]
        return Subjects(self._requests, numbers, about, self._secrets)

    def reply(self, body: bytes) -> str:
        """What a reply is called, which is written if it is new."""
        name, new = self._other(body)
        if new:
            try:
                self._write(name, "json", orjson.dumps(orjson.loads(body)))
            except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                text = self._secrets.strip(body.decode(errors="replace"))
                self._cut(name, len(body), text, "text")
        return name

    def _write_requests(self, digests: Sequence[bytes], batch: CallBatch, nodes: Sequence[Node | None]) -> range | None:
        """Returns their numbers, where they are written together."""
        calls = batch.calls
        templates = {call.template for call in calls}
        longest = max([len(call.rest) for call in calls]) + max(map(len, templates))
        if len(calls) > 1 and (longest > self._most or longest * len(calls) > CHUNK):
            middle = len(calls) // 2
            for places in range(middle), range(middle, len(calls)):
                self._write_requests(*_part(places, digests, batch, nodes))
            return None
        name = xxh3_64_hexdigest(digests[0], self._requests.next)  # of what it is, and never the same again
        call = calls[0]
        if not call.rest or longest > self._most:
            self._write(name, "json", call.body)
            return self._requests.add(name, digests)
        # The workflow is what stands before the template in what the calls have in common.
        workflow = self._workflow(call.head[len(_WORKFLOW) : -len(b',"template":') - len(call.template)])
        begin = _WORKFLOW + orjson.dumps(workflow)
        document = memoryview(batch.encode(range(len(calls))))[len(_WORKFLOW) + len(batch.workflow) :]
        if self._are_plain(nodes) and not any(map(self._secrets.found, templates)):
            self._file.add(f'{{"body":"{name}","batch":'.encode(), begin, document, b"}\n")
        else:
            self._write(name, "batch", begin + document)
        return self._requests.add(f"{name}/", digests)

    def _are_plain(self, nodes: Sequence[Node | None]) -> bool:
        """Whether there is nothing in them that anybody could have written a secret into."""
        names = [
            node.name
            for node in nodes
            if node is not None and node.inputs is None and node.outputs is None and not node.message
        ]
        return len(names) == len(nodes) and not self._secrets.found(orjson.dumps(names))

    def _workflow(self, workflow: bytes) -> str:
        name, new = self._other(workflow)
        if new:
            self._write(name, "json", workflow)
        return name

    def _other(self, body: bytes) -> tuple[str, bool]:
        """What a body is called, and whether it is new."""
        digest = xxh3_128_digest(body, self._seed)
        new = digest not in self._others
        if new:
            self._others.add(digest)
        return digest[:8].hex(), new

    def _write(self, name: str, form: str, document: bytes) -> None:
        document, hidden = self._secrets.without(document)
        if form == "json" and len(document) > self._most:
            self._cut(name, len(document), document.decode(), "cut")
        else:
            says = ',"hidden":true' if hidden else ""
            self._file.add(f'{{"body":"{name}"{says},"{form}":'.encode(), document, b"}\n")

    def _cut(self, name: str, size: int, text: str, form: str) -> None:
        self._file.add(orjson.dumps({"body": name, "bytes": size, form: text[: self._most]}), b"\n")


def _part(
    places: Sequence[int], digests: Sequence[bytes], batch: CallBatch, nodes: Sequence[Node | None]
) -> tuple[Sequence[bytes], CallBatch, Sequence[Node | None]]:
    """Only the calls at these places."""
    calls = CallBatch(batch.workflow, [batch.calls[place] for place in places])
    return [digests[place] for place in places], calls, [nodes[place] for place in places]
