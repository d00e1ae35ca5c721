"""A container's paths on this machine: where they lie in the leaf's own folder, and how texts come to name that.

There is no namespace in which `/tmp/out` could be the leaf's own, so texts that name it are rewritten. What counts as a
path of the leaf's own is:

- whatever is declared (outputs by `valueFrom.path`, artifacts, mounts, the working directory), with all below it;
- the folders above those that are not on this machine, with all below them;
- the folders above those in `/tmp`, and `/tmp` itself, where they are named and nothing below them;
- whatever of `/tmp` is not on this machine.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

TMP: Final = "/tmp"

PLAIN: Final = re.compile(r"[\w@%+=:,./-]+")
"""What a folder for runs may be called: its name comes to stand in the text of shell scripts, quoted or not."""

_BEFORE: Final = r"(?:(?<=file://)|(?<![\w.~/}\)@-]))"
_ENDS: Final = r"(?![\w@+-]|\.[\w.])"


class Escape(ValueError):
    """A path that leads out of the leaf's folder; the message says which."""


def clean(path: str) -> str:
    """The path from the root, as short as it can be. Raises `Escape` for one with ``..`` in it."""
    if ".." in path.split("/"):
        raise Escape(f"{path!r}: expected a path without '..'")
    return posixpath.normpath(f"/{path.lstrip('/')}")


class Paths:
    """The paths of one leaf: ``root`` is its folder, ``mounts`` are the folders that lie elsewhere, ``own`` and
    ``above`` what is its own, with all below it or just so, as `own_paths` says."""

    def __init__(self, root: Path, mounts: Mapping[str, str], own: Iterable[str], above: Iterable[str]) -> None:
        self.root = root
        self.mounts = dict(sorted(mounts.items(), key=lambda each: -len(each[0])))
        self.own, self.above = sorted(own, key=len, reverse=True), sorted(above, key=len, reverse=True)
        alternatives = [
            *(f"{re.escape(each)}(?=/|{_ENDS})" for each in self.own),
            *(f"{re.escape(each)}(?!/*[\\w@+.-])" for each in self.above),
            rf"{TMP}(?!/*[\w@+.-])",
            rf"{TMP}/+(?P<name>[\w@+.-]+)",
        ]
        self._named = re.compile(_BEFORE + f"(?:{'|'.join(alternatives)})")

    def real(self, path: str) -> Path:
        """Where a path of the container is on this machine, links not followed. Raises `Escape`."""
        path = clean(path)
        for mount, folder in self.mounts.items():
            if path == mount or path.startswith(f"{mount.rstrip('/')}/"):
                return Path(folder + path[len(mount.rstrip("/")) :])
        return Path(f"{self.root}{path}")

    def found(self, path: str) -> Path:
        """Where it is, links followed. Raises `Escape` where that is neither in the root nor in what is mounted."""
        return self.confined(self.real(path), path)

    def confined(self, place: Path, called: str) -> Path:
        """The place itself, links followed. Raises `Escape` likewise."""
        resolved = Path(os.path.realpath(place))
        for folder in (self.root, *map(Path, self.mounts.values())):
            if resolved.is_relative_to(os.path.realpath(folder)):
                return resolved
        raise Escape(f"{called!r} leads out of the leaf's folder, to {str(resolved)!r}")

    def rewrite(self, text: str) -> str:
        """The text with the leaf's own paths as they are on this machine."""
        return self._named.sub(self._place, text) if "/" in text else text

    def restore(self, text: str) -> str:
        """The text with the paths that `rewrite` made as the container has them."""
        for mount, folder in self.mounts.items():
            text = text.replace(folder, mount)
        return re.sub(rf"{re.escape(str(self.root))}(/?)", "/", text) if str(self.root) in text else text

    def _place(self, match: re.Match[str]) -> str:
        if match["name"] is not None and os.path.lexists(f"{TMP}/{match['name']}"):
            return match[0]
        return str(self.real(match[0]))


def own_paths(declared: Iterable[str]) -> tuple[list[str], list[str]]:
    """What is a leaf's own by what it declares: with all that is below it, and just so. Raises `Escape`."""
    own, above = dict[str, None](), dict[str, None]()
    for path in map(clean, declared):
        own[path] = None
        folders = [str(each) for each in Path(path).parents][:-1]  # the nearest first, and not the root
        absent = [each for each in folders if not os.path.lexists(each)]
        own.update(dict.fromkeys(absent[-1:]))
        above.update(dict.fromkeys(each for each in folders if each.startswith(f"{TMP}/") and each not in absent))
    own.pop("/", None)
    return list(own), list(above)
