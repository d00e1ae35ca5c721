"""The ids of nodes, which Argo derives from their names."""

from __future__ import annotations

import struct
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Final

_BASIS: Final = 0x811C9DC5
_PRIME: Final = 0x01000193
_MASK: Final = 0xFFFFFFFF


def fnv1a32(text: str, state: int = _BASIS) -> int:
    """The 32-bit FNV-1a hash of the text in UTF-8, by which Argo derives node ids.

    ``state`` is the hash of what stands before the text: hashing in parts gives what hashing the whole does.
    """
    for byte in text.encode():
        state = ((state ^ byte) * _PRIME) & _MASK
    return state


def fnv1a32_all(texts: Sequence[str], state: int = _BASIS) -> list[int]:
    """The hashes of many texts, a fifth of the time each where there are hundreds of one length.

    Those of one length go through it together, as lanes of 64 bits of one large integer, which none of its products
    leaves: 32 bits of state times 25 bits of prime.
    """
    encoded = [text.encode() for text in texts]
    sizes = {len(each) for each in encoded}
    if len(sizes) == 1:
        return _in_lanes(encoded, state)
    hashes = [0] * len(texts)
    for size in sizes:
        places = [place for place, each in enumerate(encoded) if len(each) == size]
        for place, found in zip(places, _in_lanes([encoded[place] for place in places], state), strict=True):
            hashes[place] = found
    return hashes


def _in_lanes(texts: Sequence[bytes], state: int) -> list[int]:
    count, size, joined = len(texts), len(texts[0]), b"".join(texts)
    ones = _lanes(b"\1" * count)
    mask, lanes = ones * _MASK, ones * state
    for column in range(size):
        lanes = ((lanes ^ _lanes(joined[column::size])) * _PRIME) & mask
    return list(struct.unpack(f"<{count}Q", lanes.to_bytes(8 * count, "little")))


def _lanes(values: bytes) -> int:
    wide = bytearray(8 * len(values))
    wide[::8] = values
    return int.from_bytes(wide, "little")


@lru_cache(maxsize=256)
def _state_after(prefix: str) -> int:
    return fnv1a32(prefix)


def _hash(name: str) -> int:
    """The hash of a node's name. The turns of a loop and the tasks of a DAG have all but their ends in common."""
    cut = max(name.rfind("("), name.rfind(".")) + 1
    return fnv1a32(name[cut:], _state_after(name[:cut]))


def node_id(workflow: str, name: str, taken: Container[str]) -> str:
    """The id of the node `name`: Argo's ``<workflow>-<fnv1a32 of the node name>``; the root's is the workflow's name.

    A 32-bit hash collides at the size of our graphs, so an id that is `taken` gives way to the hash of the name with a
    counter appended. Which of two colliding nodes yields depends on which came first, and the graph is walked in one
    order whatever the timing; callers remember the id they were given rather than derive it anew.
    """
    if name == workflow:
        return name
    candidate = f"{workflow}-{_hash(name)}"
    suffix = 1
    while candidate in taken:
        candidate = f"{workflow}-{fnv1a32(f'{name}#{suffix}')}"
        suffix += 1
    return candidate


def ids_after(workflow: str, prefix: str, ends: Sequence[str]) -> list[str]:
    """What `node_id` gives for the nodes of names that begin alike, as long as none of these ids is taken."""
    return [f"{workflow}-{found}" for found in fnv1a32_all(ends, fnv1a32(prefix))]
