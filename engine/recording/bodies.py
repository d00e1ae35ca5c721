"""What was sent and what was replied, written once each.

Requests about nodes are written many at a time, in the form of a batch: what they have in common stands once, and to
put a hundred thousand of them together costs little. Each is known by the name of that body and its place in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import randbits
from typing import Final

import msgspec
import orjson
from xxhash import xxh3_128_digest

from engine.model.node import Node
from engine.recording.appending import CHUNK, Appending
from engine.recording.secrets import Secrets
from rpc.batches import Call, encode_batch

MOST_KNOWN: Final = 1 << 17
"""Bodies that are remembered as written, in 300 bytes each; beyond that they are all written once more."""

Questions = tuple[Sequence[Call], Sequence[Node | None]]
"""What is asked, and about which nodes; None for the workflow."""

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

    def requests(self, digests: Sequence[bytes], questions: Callable[[Sequence[int]], Questions]) -> list[bytes]:
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
            said = self._written(_name(digests[new[0]]), *questions(new))
            known.update(zip([digests[place] for place in new], said, strict=True))
        return [known[digest] for digest in digests]

    def reply(self, body: bytes) -> bytes:
        """What lines say of a reply, which is written if it is new."""
        digest = xxh3_128_digest(body, self._seed)
        said = self._known.get(digest)
        if said is None:
            name = _name(digest)
            said = self._known[digest] = f',"reply":"{name}"'.encode()
            try:
                self._write(name, "json", orjson.dumps(orjson.loads(body)))
            except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                text = self._secrets.strip(body.decode(errors="replace"))
                self._cut(name, len(body), text, "text")
        return said

    def _written(self, name: str, calls: Sequence[Call], nodes: Sequence[Node | None]) -> list[bytes]:
        """Write requests that are new; returns what lines say of them."""
        rests, templates = [call.rest for call in calls], {call.template for call in calls}
        longest = max(map(len, rests)) + max(map(len, templates))
        if len(calls) > 1 and (longest > self._most or sum(map(len, rests)) + sum(map(len, templates)) > CHUNK):
            middle = len(calls) // 2
            halves = (f"{name}-1", calls[:middle], nodes[:middle]), (f"{name}-2", calls[middle:], nodes[middle:])
            return [said for half in halves for said in self._written(*half)]
        call = calls[0]
        if not call.rest or longest > self._most:
            self._write(name, "json", call.body)
            return _said([name], nodes)
        # The workflow is what stands before the template in what the calls have in common.
        workflow = call.head[len(b'{"workflow":') : -len(b',"template":') - len(call.template)]
        document = encode_batch(b'"%b"' % self._workflow(workflow).encode(), calls)
        plain = all(map(_is_plain, nodes)) and not any(map(self._secrets.found, templates))
        self._write(name, "batch", document, plain=plain)
        return _said([f"{name}/{place}" for place in range(len(calls))], nodes)

    def _workflow(self, workflow: bytes) -> str:
        digest = xxh3_128_digest(workflow, self._seed)
        name = _name(digest)
        if digest not in self._known:
            self._known[digest] = b""
            self._write(name, "json", workflow)
        return name

    def _write(self, name: str, form: str, document: bytes, *, plain: bool = False) -> None:
        """What is ``plain`` has nothing in it that is to be left out."""
        hidden = False
        if not plain:
            document, hidden = self._secrets.without(document)
        if form == "json" and len(document) > self._most:
            self._cut(name, len(document), document.decode(), "cut")
        else:
            says = ',"hidden":true' if hidden else ""
            self._file.add(f'{{"body":"{name}"{says},"{form}":'.encode(), document, b"}\n")

    def _cut(self, name: str, size: int, text: str, form: str) -> None:
        self._file.add(orjson.dumps({"body": name, "bytes": size, form: text[: self._most]}), b"\n")


def _is_plain(node: Node | None) -> bool:
    """Whether there is nothing in it that anybody could have written a secret into."""
    return node is not None and node.inputs is None and node.outputs is None and not node.message


def _said(names: Sequence[str], nodes: Sequence[Node | None]) -> list[bytes]:
    """What lines say of requests, and of the nodes that they are about."""
    lines = [
        {"request": name, "node": {"id": node.id, "name": node.name}} if node is not None else {"request": name}
        for name, node in zip(names, nodes, strict=True)
    ]
    return _encoder.encode_lines(lines)[1:-2].split(b"}\n{")


def _name(digest: bytes) -> str:
    """What a body is called: 64 bits of its digest."""
    return digest[:8].hex()
