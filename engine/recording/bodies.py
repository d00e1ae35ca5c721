"""What was sent and what was replied, written once each.

Requests about nodes are written many at a time, in the form of a batch: what they have in common stands once, and to
put a hundred thousand of them together costs little. Each is known by the name of that body and its place in it.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterator, Sequence
from secrets import randbits
from typing import Final

import msgspec
import orjson
from xxhash import xxh3_128_digest

from engine.model.node import Node
from engine.recording.appending import CHUNK, Appending
from engine.recording.secrets import Secrets
from rpc.batches import Call, CallBatch

MOST_KNOWN: Final = 1 << 17
"""Bodies that are remembered as written, in 300 bytes each; beyond that they are all written once more."""

Question = tuple[Call, Node | None]
"""What is asked, and about which node; None for the workflow."""

_encoder: Final = msgspec.json.Encoder()


class Bodies:
    """Those in one file. Of each part of a body ``most`` bytes are kept."""

    def __init__(self, file: Appending, secrets: Secrets, most: int) -> None:
        self._file = file
        self._secrets = secrets
        self._most = most
        self._known: dict[bytes, bytes] = {}
        """What is said of the bodies that are written, by digest."""
        self._seed = randbits(64)
        """So that nobody can look for two bodies with one digest."""

    def requests(
        self, digests: Sequence[bytes], questions: Callable[[Sequence[int]], Sequence[Question]]
    ) -> list[bytes]:
        """What lines say of the requests with these digests; ``questions`` gives those at some places.

        Those that are new are written.
        """
        known = self._known
        try:
            return [known[digest] for digest in digests]
        except KeyError:
            pass
        if len(known) > MOST_KNOWN:
            known.clear()
        new = [place for place, digest in enumerate(digests) if digest not in known]
        if new:
            asked = questions(new)
            said = self._written(_name(digests[new[0]]), asked)
            known.update(zip([digests[place] for place in new], said, strict=True))
        return [known[digest] for digest in digests]

    def reply(self, body: bytes) -> bytes:
        """What lines say of a reply, which is written if it is new."""
        digest = xxh3_128_digest(body, self._seed)
        said = self._known.get(digest)
        if said is None:
            name = _name(digest)
            said = self._known[digest] = b',"reply":"%b"' % name
            try:
                self._write(name, b"json", orjson.dumps(orjson.loads(body)))
            except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                text = self._secrets.strip(body.decode(errors="replace"))
                self._cut(name, len(body), text, "text")
        return said

    def _written(self, name: bytes, asked: Sequence[Question]) -> Iterator[bytes]:
        """Write requests that are new; gives what lines say of them."""
        most = self._most
        if len(asked) > 1 and max([len(call.template) + len(call.rest) for call, _ in asked]) > most:
            for number, each in enumerate(asked):
                yield from self._written(b"%b-%d" % (name, number), [each])
            return
        (call, node), calls = asked[0], [call for call, _ in asked]
        if not call.rest or len(call.template) + len(call.rest) > most:
            self._write(name, b"json", call.body)
            yield from _said([(name.decode(), node)])
            return
        # The workflow is what stands before the template in what the calls have in common.
        workflow = call.head[len(b'{"workflow":') : -len(b',"template":') - len(call.template)]
        batch, at = CallBatch(b'"%b"' % self._workflow(workflow), calls), 0
        while at < len(calls):
            part = batch.cut(at, len(calls), CHUNK)
            some = asked[at : part.stop]
            place = f"{name.decode()}-{at}".encode() if at else name
            plain = all(map(_is_plain, some)) and not any(map(self._secrets.found, {call.template for call, _ in some}))
            self._write(place, b"batch", batch.encode(part), plain=plain)
            called = place.decode()
            yield from _said([(f"{called}/{number}", node) for number, (_, node) in enumerate(some)])
            at = part.stop

    def _workflow(self, workflow: bytes) -> bytes:
        digest = xxh3_128_digest(workflow, self._seed)
        name = self._known.get(digest)
        if name is None:
            name = self._known[digest] = _name(digest)
            self._write(name, b"json", workflow)
        return name

    def _write(self, name: bytes, form: bytes, document: bytes, *, plain: bool = False) -> None:
        """What is ``plain`` has nothing in it that is to be left out."""
        hidden = False
        if not plain:
            document, hidden = self._secrets.without(document)
        if form == b"json" and len(document) > self._most:
            self._cut(name, len(document), document.decode(), "cut")
        else:
            says = b',"hidden":true' if hidden else b""
            self._file.add(b'{"body":"%b"%b,"%b":' % (name, says, form), document, b"}\n")

    def _cut(self, name: bytes, size: int, text: str, form: str) -> None:
        self._file.add(orjson.dumps({"body": name.decode(), "bytes": size, form: text[: self._most]}), b"\n")


def _is_plain(question: Question) -> bool:
    """Whether there is nothing in a node that anybody could have written a secret into."""
    node = question[1]
    return node is not None and node.inputs is None and node.outputs is None and not node.message


def _said(requests: Sequence[tuple[str, Node | None]]) -> list[bytes]:
    """What lines say of requests, by their names, and of the nodes that they are about."""
    lines = [
        {"request": name, "node": {"id": node.id, "name": node.name}} if node is not None else {"request": name}
        for name, node in requests
    ]
    return _encoder.encode_lines(lines)[1:-2].split(b"}\n{")


def _name(digest: bytes) -> bytes:
    """What a body is called: 64 bits of its digest."""
    return hexlify(digest[:8])
