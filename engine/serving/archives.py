"""A folder as a .tgz, made piece by piece: nothing of it is in memory, or on the disk, as a whole."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 16

_GZIP: Final = 16 + zlib.MAX_WBITS


def packed(folder: Path) -> Iterator[bytes]:
    """The bytes of the archive, in which the folder is called as it is. Blocks, and raises `OSError`."""
    packer = zlib.compressobj(wbits=_GZIP)
    yield from map(packer.compress, _unpacked(folder))
    yield packer.flush()


def _unpacked(folder: Path) -> Iterator[bytes]:
    with tarfile.open(fileobj=BytesIO(), mode="w") as headers:
        for place, folders, files in os.walk(folder):
            folders.sort()
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            for name in ("", *links, *sorted(files)):
                own = os.path.join(place, name).rstrip("/")
                info = headers.gettarinfo(own, os.path.relpath(own, folder.parent))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                yield info.tobuf(tarfile.PAX_FORMAT)
                if info.isreg():
                    yield from _content(own, info.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _content(path: str, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        left = size
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"{path}: it is shorter than it was")
            left -= len(chunk)
            yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE)
