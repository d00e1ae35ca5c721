"""Tells who imports Oarlock that another module has the name of one of its packages, before anything odd comes of it.

This is in none of the packages, since each of them may be the one that is not ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from os.path import dirname, isfile, join, realpath
from typing import Final

_FLOORS: Final = ("rpc", "registry", "engine", "bench")
"""From the ground up: each is built on those before it."""
_ADVICE: Final = "rename what is not Oarlock's, or keep it off sys.path"


def clash(package: str, file: str) -> str | None:
    """Why `package` in ``file`` must not be imported, in one line that names both files; None where it may be.

    That is where a package that it is built on is somebody else's, or where it hides somebody else's of its own name:
    a module, a package, or a folder that ``python -m`` would run. One that hides it is never seen from here.
    """
    home = dirname(dirname(realpath(file)))
    for name in _FLOORS[: _FLOORS.index(package)]:
        theirs = _loaded(name)
        if theirs is not None and not _is_in(home, name, theirs):
            return f"{theirs} hides Oarlock's {_ours(home, name)}: {_ADVICE}"
    for theirs in _found(package):
        if not _is_in(home, package, theirs) and not _is_copy(theirs):
            return f"Oarlock's {_ours(home, package)} hides {theirs}: {_ADVICE}"
    return None


def _ours(home: str, name: str) -> str:
    return join(home, name, "__init__.py")


def _is_in(home: str, name: str, file: str) -> bool:
    return dirname(realpath(file)) == join(home, name)


def _is_copy(file: str) -> bool:
    """Whether this is of another whole Oarlock, a clone beside an installed one, say, from which nothing is taken."""
    home = dirname(dirname(file))
    return all(isfile(_ours(home, name)) for name in _FLOORS)


def _loaded(name: str) -> str | None:
    """The file that an import of `name` gives; None where that is for the import to say."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = find_spec(name)
    return None if spec is None else _file(spec)


def _found(name: str) -> Iterator[str]:
    """The files of that name wherever Python looks for modules, whether it would come to them or not."""
    for finder in sys.meta_path:
        for path in [[entry] for entry in sys.path] if finder is PathFinder else [None]:
            spec = finder.find_spec(name, path)
            file = None if spec is None else _file(spec)
            if file is not None:
                yield file


def _file(spec: ModuleSpec) -> str | None:
    """The file that runs when it is imported, or of a plain folder, with ``python -m``."""
    if spec.has_location:
        return spec.origin
    mains = [join(folder, "__main__.py") for folder in spec.submodule_search_locations or ()]
    return next(filter(isfile, mains), None)
