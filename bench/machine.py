"""Where and with what a figure was measured; without it the figure means nothing."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

_LIBRARIES = ("oarlock", "aiohttp", "httptools", "msgspec", "orjson", "pyreqwest", "uvloop")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the versions. ``commit`` is None outside a git checkout; ``dirty`` if it has local changes."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool
    command: str


def machine() -> Machine:
    """Describe the machine that this process runs on, and the command line it was started with."""
    commit = _git("rev-parse", "HEAD")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}{_unoptimized()}",
        versions={name: version for name in _LIBRARIES if (version := _version(name))},
        commit=commit,
        dirty=bool(commit and _git("status", "--porcelain", "--untracked-files=no")),
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
    )


def _cpu() -> str:
    """The model's name; `platform` does not know it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.processor() or platform.machine()


def _unoptimized() -> str:
    """An interpreter built without profile-guided optimization is slower, which explains many a figure."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    if not arguments or "--enable-optimizations" in arguments:
        return ""
    return " (configured without --enable-optimizations)"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says about the tree this file is in; None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
