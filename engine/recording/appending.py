"""A file that grows by whole lines, written beside the event loop."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from engine.recording.format import RecordError, check_header, header
from rpc.logs import get_logger

CHUNK: Final = 1 << 20
"""About how many bytes are written at once."""
MOST_WAITING: Final = 64
"""Chunks that wait to be written before who adds more is to wait."""

_log = get_logger(__name__)


class Lines:
    """Lines of a record, of which ``put`` is given many at a time."""

    error = ""
    """Why nothing is written any more."""

    def __init__(self, put: Callable[[list[bytes | memoryview]], None]) -> None:
        self._put = put
        self._lines: list[bytes | memoryview] = []
        self._size = 0

    @property
    def behind(self) -> bool:
        """Whether so much waits to be written that no more should be added for now."""
        return False

    def add(self, *lines: bytes | memoryview) -> None:
        """Add whole lines, which may be in pieces."""
        self._lines += lines
        self._size += sum(map(len, lines))
        if self._size >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Have what was added written."""
        if self._lines:
            self._put(self._lines)
            self._lines, self._size = [], 0

    def catch_up(self) -> None:
        """Wait until what is to be written by now has been: in another thread than the event loop's."""

    def close(self) -> None:
        """Have all written that there is."""
        self.flush()


class Appending(Lines):
    """A record that is being written, to a file. What was added is in the file after `flush`, soon, or `close`.

    Raises `RecordError` where the file cannot be had: it is something else, or another process writes it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._descriptor = _opened(file)
        self._waiting: SimpleQueue[list[bytes | memoryview] | threading.Event | None] = SimpleQueue()
        super().__init__(self._waiting.put)
        self._thread = threading.Thread(target=self._write, name=f"record {file.name}", daemon=True)
        self._thread.start()
        self.add(header())
        self.flush()

    @property
    def behind(self) -> bool:
        return self._waiting.qsize() > MOST_WAITING

    def catch_up(self) -> None:
        done = threading.Event()
        self._waiting.put(done)
        done.wait()

    def close(self) -> None:
        """Write what there is, and let go of the file."""
        self.flush()
        self._waiting.put(None)
        self._thread.join()
        os.close(self._descriptor)

    def _write(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            if isinstance(waiting, threading.Event):
                waiting.set()
            elif not self.error:
                try:
                    for at in range(0, len(waiting), _PIECES):
                        self._write_all(waiting[at : at + _PIECES])
                except OSError as error:
                    self.error = error.strerror or str(error)
                    _log.error("nothing is recorded any more", file=str(self.file), error=self.error)

    def _write_all(self, lines: list[bytes | memoryview]) -> None:
        written, size = os.writev(self._descriptor, lines), sum(map(len, lines))
        while written < size:  # the disk is nearly full
            written += os.write(self._descriptor, b"".join(lines)[written:])


_PIECES: Final = 1000
"""Pieces that one `writev` is given: of more than 1024 it may want none."""


def _opened(file: Path) -> int:
    """The file, ready to be appended to, its last line whole."""
    try:
        # Not to wait for who reads a pipe; and what is in it is not for everybody.
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RecordError(f"{file}: expected a file, or none")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise RecordError(f"{file}: {error.strerror}") from None
            raise RecordError(f"{file}: another process is recording there") from None
        size = os.fstat(descriptor).st_size
        if size:
            check_header(os.pread(descriptor, 4096, 0).partition(b"\n")[0], str(file))
            if os.pread(descriptor, 1, size - 1) != b"\n":  # the last one to write it was killed
                os.write(descriptor, b"\n")
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor
