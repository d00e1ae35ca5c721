"""Which of a text's paths are a leaf's own, and what becomes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.executors.local.paths import Escape, Paths, clean, own_paths

ROOT = "/runs/leaf/root"

PATHS = Paths(Path(ROOT), {"/mnt/shared": "/runs/shared"}, *own_paths(["/tmp/a/out.txt", "/data/x", "/usr/share/y"]))


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/tmp/a/out.txt", f"{ROOT}/tmp/a/out.txt"),
        ("cat /tmp/a/out.txt;", f"cat {ROOT}/tmp/a/out.txt;"),
        ("--out=/tmp/a/out.txt", f"--out={ROOT}/tmp/a/out.txt"),
        ("open('/tmp/a/out.txt')", f"open('{ROOT}/tmp/a/out.txt')"),
        ("written to /tmp/a/out.txt.", f"written to {ROOT}/tmp/a/out.txt."),
        ("file:///data/x", f"file://{ROOT}/data/x"),
        ("mkdir /tmp/a", f"mkdir {ROOT}/tmp/a"),
        ("cd /tmp && ls", f"cd {ROOT}/tmp && ls"),
        ('"/tmp/" + name', f'"{ROOT}/tmp/" + name'),
        ("/data/other", f"{ROOT}/data/other"),
        ("/usr/share/y/z", f"{ROOT}/usr/share/y/z"),
        ("/mnt/shared/z /mnt/shared", "/runs/shared/z /runs/shared"),
        ("/data/x:/mnt/shared", f"{ROOT}/data/x:/runs/shared"),
    ],
)
def test_paths_of_its_own_are_rewritten(text: str, rewritten: str) -> None:
    paths = Paths(PATHS.root, PATHS.mounts, [*PATHS.own, "/mnt/shared"], PATHS.above)
    assert paths.rewrite(text) == rewritten
    assert paths.restore(rewritten) == text


@pytest.mark.parametrize(
    "text",
    [
        "/usr/share/yz",
        "/usr/share",
        "/usr/bin/env",
        "/home/data/x",
        "$HOME/data/x",
        "${HOME}/data/x",
        "$(pwd)/data/x",
        "./data/x",
        "~/data/x",
        "http://host/data/x",
        "/database",
        "/",
    ],
)
def test_others_stay_as_they_are(text: str) -> None:
    assert PATHS.rewrite(text) == text


def test_what_is_in_tmp_of_this_machine_stays_there(tmp_path: Path) -> None:
    paths = Paths(Path(ROOT), {}, [], [])
    found = tmp_path if str(tmp_path).startswith("/tmp/") else Path("/tmp")
    there = f"{found}/marker"
    assert paths.rewrite(there) == (there if found != Path("/tmp") else f"{ROOT}/tmp/marker")
    assert paths.rewrite("/tmp/no-such-file-here") == f"{ROOT}/tmp/no-such-file-here"


@pytest.mark.parametrize("path", ["..", "/..", "/a/../b", "a/.."])
def test_a_path_with_dots_is_refused(path: str) -> None:
    with pytest.raises(Escape, match=r"expected a path without '\.\.'"):
        clean(path)


NAMES = st.text("abc.-_ é$'\"*", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_whatever_is_declared_is_found_in_the_root(names: list[str]) -> None:
    path = "/" + "/".join(names)
    paths = Paths(Path(ROOT), {}, *own_paths([path]))
    assert str(paths.real(path)) == f"{ROOT}{clean(path)}"
    assert paths.rewrite(f"<{path}>") == f"<{ROOT}{path}>"
    assert paths.restore(f"<{ROOT}{path}>") == f"<{path}>"
