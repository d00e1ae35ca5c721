"""The engine's end of a leaf: start its supervisor, hear of it, tell it to stop, and find it again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.executors.local.pods import ROOT_VARIABLE

_BOOT: Final = "import sys; sys.path.append(sys.argv.pop(1)); from supervising import main; main()"


def start(leaf: Path) -> int:
    """Start the supervisor of a leaf whose folder is laid out; its process id, which is to be waited for.

    Its ends of the FIFOs are opened here and inherited, so that there is no moment at which it lives and is not seen.
    Raises `OSError`.
    """
    for name in ("orders", "events"):
        os.mkfifo(leaf / name, 0o600)
    with contextlib.ExitStack() as ends:

        def opened(name: str, flags: int) -> int:
            end = os.open(leaf / name, flags)
            ends.callback(os.close, end)
            return end

        orders = opened("orders", os.O_RDWR)  # with an end to write to: others look in, and that is no order
        opened("events", os.O_RDONLY | os.O_NONBLOCK)  # without a reader it could not be opened by who writes
        events = opened("events", os.O_WRONLY)
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(__file__).parent), str(leaf)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, orders, 0),
                (os.POSIX_SPAWN_DUP2, events, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(leaf / "supervisor.log"), os.O_WRONLY | os.O_CREAT, 0o600),
            ],
            setsid=True,
        )


def reap(supervisor: int) -> str:
    """Wait for the process that `start` began; why it could not go on, where it has said so."""
    with contextlib.suppress(ChildProcessError):
        code = os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])
        if code > 1:  # 1 is that of any other mistake
            return os.strerror(code)
    return ""


def is_alive(leaf: Path) -> bool:
    """Whether the leaf has a supervisor."""
    return _order(leaf, b"")


def stop(leaf: Path) -> bool:
    """Have the supervisor end all containers; whether there is one."""
    return _order(leaf, b"stop")


def _order(leaf: Path, order: bytes) -> bool:
    try:
        orders = os.open(leaf / "orders", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody has it open, or it is not there
        return False
    try:
        if order:
            os.write(orders, order)
    except OSError:
        return False
    finally:
        os.close(orders)
    return True


async def watch(leaf: Path, news: Callable[[], None]) -> None:
    """Until the supervisor of the leaf has ended; ``news`` is called whenever a container was started."""
    loop = asyncio.get_running_loop()
    events = os.open(leaf / "events", os.O_RDONLY | os.O_NONBLOCK)
    ended = loop.create_future()

    def hear() -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(events, 512):
                news()
            elif not ended.done():
                ended.set_result(None)

    try:
        loop.add_reader(events, hear)
        hear()  # it may be over; and where nobody has ever written, the kernel does not say that nobody will
        news()
        await ended
    finally:
        loop.remove_reader(events)
        os.close(events)


def kill_orphans(root: Path) -> None:
    """End what a supervisor left behind that was killed: whatever has the leaf's root in its environment.

    That names it for certain, which a process id does not: it may be another's by now.
    """
    mark = f"{ROOT_VARIABLE}={root}".encode()
    found = True
    while found:  # they may be starting more of them
        found = False
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            with contextlib.suppress(OSError):  # it is somebody else's, or has just ended
                process = os.pidfd_open(pid)
                try:
                    if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                        found = True
                finally:
                    os.close(process)
