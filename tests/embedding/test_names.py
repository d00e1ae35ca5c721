"""The packages have names that others use, too: whoever has another of one is told, in one line, by the import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import oarlock_guard

HOME = Path(oarlock_guard.__file__).resolve().parent
PACKAGES = ("rpc", "registry", "engine", "bench")


def run(*arguments: str, at: Path, path: tuple[Path, ...] = ()) -> tuple[int, str]:
    """Python in a folder, with `path` behind it: its exit code, and the last line of what it said to that."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        (sys.executable, *arguments), cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


def module(folder: Path, name: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    return file


def ours(package: str) -> str:
    return str(HOME / package / "__init__.py")


@pytest.mark.parametrize(
    ("file", "hidden", "imported"),
    [
        ("rpc.py", "rpc", "registry"),
        ("rpc.py", "rpc", "engine"),
        ("rpc/__init__.py", "rpc", "bench"),
        ("registry.py", "registry", "engine"),
        ("registry/__init__.py", "registry", "bench"),
        ("engine.py", "engine", "bench"),
        ("engine/__init__.py", "engine", "bench"),
    ],
)
def test_a_module_that_hides_one_of_ours_is_named_beside_it(
    tmp_path: Path, file: str, hidden: str, imported: str
) -> None:
    theirs = module(tmp_path, file)
    code, said = run("-c", f"import {imported}", at=tmp_path)
    assert (code, said.partition(":")[0]) == (1, "ImportError")
    assert f"{theirs} hides Oarlock's {ours(hidden)}" in said


def test_one_that_was_imported_before_is_found(tmp_path: Path) -> None:
    theirs = module(tmp_path / "elsewhere", "rpc.py")
    code, said = run(
        "-c",
        f"import sys; sys.path.insert(0, {str(theirs.parent)!r}); import rpc; del sys.path[0]; import engine",
        at=tmp_path,
    )
    assert code == 1
    assert f"{theirs} hides Oarlock's {ours('rpc')}" in said


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("file", ["{}.py", "{}/__init__.py", "{}/__main__.py"])
def test_a_module_that_one_of_ours_hides_is_named_beside_it(tmp_path: Path, package: str, file: str) -> None:
    theirs = module(tmp_path / "theirs", file.format(package))
    code, said = run("-c", f"import {package}", at=tmp_path, path=(HOME, tmp_path / "theirs"))
    assert (code, said.partition(":")[0]) == (1, "ImportError")
    assert f"Oarlock's {ours(package)} hides {theirs}" in said


def test_a_bench_without_an_init_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    theirs = module(tmp_path, "bench/__main__.py")
    code, said = run("-m", "bench", "--help", at=tmp_path)
    assert code == 1
    assert f"Oarlock's {ours('bench')} hides {theirs}" in said


FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    def find_spec(self, name, path=None, target=None):
        return spec_from_file_location("engine", {file!r}) if name == "engine" else None

sys.meta_path.append(Finder())
import engine
"""


def test_a_module_that_only_a_hook_finds_is_found(tmp_path: Path) -> None:
    theirs = module(tmp_path / "src", "engine.py")  # as setuptools installs many projects in place
    code, said = run("-c", FINDER.format(file=str(theirs)), at=tmp_path)
    assert code == 1
    assert f"Oarlock's {ours('engine')} hides {theirs}" in said


@pytest.mark.parametrize(
    "files",
    [
        ("bench/__init__.py", "engine.py"),  # nobody who imports the client needs them
        ("rpc/test_rpc.py", "registry/plugins.toml"),  # plain folders, of tests, say, hide nothing
    ],
)
def test_what_is_in_nobodys_way_is_nobodys_business(tmp_path: Path, files: tuple[str, ...]) -> None:
    for file in files:
        module(tmp_path, file)
    assert run("-c", "import registry; registry.Registry; import rpc; rpc.Client", at=tmp_path) == (0, "")


def test_another_oarlock_behind_ours_is_none_of_theirs(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(HOME / package, tmp_path / "clone" / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(oarlock_guard.__file__, tmp_path / "clone")
    assert run("-c", "import bench", at=tmp_path, path=(HOME, tmp_path / "clone")) == (0, "")
    assert run("-c", "import bench", at=tmp_path, path=(tmp_path / "clone", HOME)) == (0, "")
