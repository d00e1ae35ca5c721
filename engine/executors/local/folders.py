"""Where the local executor keeps what: a folder for all runs, in it one for each workflow, in it its leaves.

<folder>/<workflow uid>/artifacts/...                    what leaves hand on
                       /volumes/<name>/                  volumes that outlive a leaf
                       /leaves/<node id>/<number>/       the leaf, begun for the number-th time
                              /containers/<name>/log     what it wrote, both streams
                                                /times   and when
                              /root/                     its files, by the paths of its container
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")


def default_folder() -> Path:
    """The folder for all runs: ``oarlock/runs`` where this user's programs keep their state."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    return Path(state if os.path.isabs(state) else Path.home() / ".local/state") / "oarlock" / "runs"


def named(what: str, name: str) -> str:
    """The name, which may be one of a file. Raises `ValueError` that says what it is the name of."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{what}: expected letters, digits, '.', '_' and '-', got {name!r}")
    return name


class Runs:
    """The folder for all runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, uid: str) -> Path:
        """The folder of a workflow. Raises `ValueError` for a uid that can be none's."""
        return self.folder / named("metadata.uid", uid)

    def leaf(self, uid: str, node_id: str) -> Path:
        """The folder of a leaf, whichever time it was begun. Raises `ValueError`."""
        return self.run(uid) / "leaves" / named("node id", node_id)

    def latest(self, uid: str, node_id: str) -> Path | None:
        """The folder of the leaf as it was begun last, if it was at all. Raises `ValueError`."""
        leaf = self.leaf(uid, node_id)
        numbers = [int(each) for each in os.listdir(leaf)] if leaf.is_dir() else []
        return leaf / str(max(numbers)) if numbers else None

    def begin(self, uid: str, node_id: str) -> Path:
        """A new folder for a leaf that is begun anew. Raises `OSError` and `ValueError`."""
        latest = self.latest(uid, node_id)
        folder = self.leaf(uid, node_id) / str(int(latest.name) + 1 if latest is not None else 0)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def artifact(self, uid: str, key: str, *, others: bool = False) -> Path:
        """Where a run keeps the artifact of that key; with ``others`` that may be the run that the key begins with.

        Raises `ValueError` for a key that leads elsewhere.
        """
        parts = key.split("/")
        if not key or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"expected a key without '..' and empty parts, got {key!r}")
        elsewhere = others and _NAME.fullmatch(parts[0]) and (self.folder / parts[0] / "leaves").is_dir()
        if len(parts) > 1 and (parts[0] == uid or elsewhere):
            uid, parts = parts[0], parts[1:]
        folder = self.run(uid) / "artifacts"
        place = folder.joinpath(*parts)
        if not Path(os.path.realpath(place.parent)).is_relative_to(os.path.realpath(folder)):
            raise ValueError(f"the key {key!r} leads through a link")
        return place
