"""Noticing that a configuration changed on disk, however it was changed.

Editors replace a file rather than write to it, and Kubernetes swaps the ``..data`` link beside it, so folders are
watched and not files, and the watch is set up anew when what it looks at became another folder of the same name.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from rpc.logs import get_logger

_TICK_MS: Final = 500
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """What to look at for some files and folders, which may be links, and may be missing for a time.

    ``watched`` has each folder's device and inode, None where it has just gone, so that a new folder of an old name
    makes for unequal places.
    """

    targets: frozenset[Path]
    folders: frozenset[Path]
    watched: frozenset[tuple[Path, tuple[int, int] | None]]

    @classmethod
    def of(cls, sources: Iterable[Path]) -> Places:
        """Where `sources` are to be found now."""
        named = [source.absolute() for source in sources if "\0" not in str(source)]
        targets = frozenset(named) | {Path(os.path.realpath(source)) for source in named}
        folders = frozenset(filter(_can_be_watched, targets))
        watched = folders | {next(filter(_can_be_watched, target.parents)) for target in targets}
        return cls(targets, folders, frozenset((folder, _identity(folder)) for folder in watched))

    def matter(self, _change: Change, name: str) -> bool:
        """Whether a change at `name` may be one of a source: of it, in it, above it, or a mounted volume's swap."""
        path = Path(name)
        return (
            path in self.targets
            or path.parent in self.folders
            or path.name.startswith("..")
            or any(path in target.parents for target in self.targets)
        )


async def changes(sources: Callable[[], Iterable[Path]]) -> AsyncIterator[None]:
    """Yield when `sources()` may have changed (after 50 ms of quiet), and once within half a second of each new watch.

    The latter so that nothing is missed that changed before. Where the system has no watches left, folders are polled.
    """
    polling: bool | None = None
    while True:
        places = Places.of(sources())
        try:
            async with aclosing(
                awatch(
                    *(folder for folder, _ in places.watched),
                    watch_filter=places.matter,
                    recursive=False,
                    rust_timeout=_TICK_MS,
                    yield_on_timeout=True,
                    force_polling=polling,
                )
            ) as batches:
                begun = False
                async for batch in batches:
                    if batch or not begun:
                        yield
                    begun = True
                    if Places.of(sources()) != places:
                        break
        except FileNotFoundError:  # a folder went while the watch was set up
            continue
        except (OSError, RuntimeError) as error:
            if polling:
                raise
            _log.warning("cannot watch the configuration, polling it", error=str(error))
            polling = True


def _can_be_watched(path: Path) -> bool:
    """Whether it is a folder that we may look into; whatever else is wrong with its name, it is none."""
    return os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
