"""Files that only we should be able to read."""

from __future__ import annotations

import functools
import stat
from pathlib import Path

from rpc.logs import get_logger

_log = get_logger(__name__)


def warn_of_readers(file: Path) -> None:
    """Say of a file with a secret that everybody may read it, once."""
    try:
        public = file.stat().st_mode & stat.S_IROTH
    except OSError:  # it has just gone
        return
    if public:
        _say(file)


@functools.cache
def _say(file: Path) -> None:
    _log.warning("everybody on this machine may read a secret", file=str(file), hint=f"chmod o-r {file}")
