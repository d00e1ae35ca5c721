"""A leaf's supervisor: a process of its own that runs the leaf's containers and outlives the engine.

It is started by path, isolated and without `site`, and imports next to nothing, since there is one for each leaf. While
it lives it holds one end of two FIFOs: `orders`, by which it is told to stop, and `events`, by which the engine hears
that there is something new, and of its end. The kernel closes them whatever becomes of it, so neither its life nor its
death is ever a guess about a process id.
"""

from __future__ import annotations

import marshal
import os
import select
import sys
from time import monotonic, time

TYPE_CHECKING = False  # what type checkers take for true, without the cost of `typing`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KILL, TERM = 9, 15  # by number: `signal` would be half of what there is to import
IGNORED = [13, 25]
"""SIGPIPE and SIGXFSZ, which Python ignores and its children are not to."""

GAVE_UP = 64
"""The exit code of a container that was never started (Argo's emissary)."""

_CHUNK = 1 << 16

_MOMENT = 0.1
"""Seconds that are told apart in what is noted of when something was written."""

CUT = b"\n[the log is cut off here: it has reached its bound]\n"


class Container:
    """One container: its process, and what it writes."""

    def __init__(self, settings: dict[str, Any], folder: str, log_bytes: int, result_bytes: int) -> None:
        self.name: str = settings["name"]
        self.role: str = settings["role"]
        self.dependencies: list[str] = settings["dependencies"]
        self.exit: int | None = None
        self.why = ""
        self.pid = 0
        self.told = False
        """Whether it was told to end: to many programs a second SIGTERM says not to wait for anything."""
        self.ready: dict[int, Callable[[], None]] = {}
        """What to do when which file descriptor is ready."""
        self._settings = settings
        self._left, self._tail, self._most = log_bytes, bytearray(), result_bytes
        self._folder = f"{folder}/containers/{self.name}"
        self._log = self._times = -1
        self._written, self._noted = 0, 0.0

    @property
    def runs(self) -> bool:
        return self.pid > 0 and self.exit is None

    @property
    def waits(self) -> bool:
        return self.pid == 0 and self.exit is None

    def start(self) -> bool:
        """Start it; whether it could be started."""
        os.makedirs(self._folder, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._log = os.open(f"{self._folder}/log", flags, 0o600)
        self._times = os.open(f"{self._folder}/times", flags, 0o600)
        self._write(self._settings["first_line"].encode())
        command: list[str] = self._settings["argv"]
        environment: dict[str, str] = self._settings["env"]
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        plumbing = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out_end, 1),
            (os.POSIX_SPAWN_DUP2, err_end, 2),
        ]
        try:
            os.chdir(self._settings["cwd"])
            self.pid = os.posix_spawn(
                find(command[0], environment.get("PATH", "")),
                command,
                environment,
                file_actions=plumbing,
                setpgroup=0,
                setsigdef=IGNORED,
            )
        except (OSError, ValueError) as error:  # of the latter are characters that the machine's encoding has not
            os.close(out)
            os.close(err)
            why = error.strerror if isinstance(error, OSError) else error
            self.give_up(f"command {command[0]!r} cannot be started on this machine: {why}")
            return False
        finally:
            os.close(out_end)
            os.close(err_end)
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        self.ready = {
            out: lambda: self._pump(out, is_output=True),
            err: lambda: self._pump(err, is_output=False),
            os.pidfd_open(self.pid): self._end,
        }
        return True

    def give_up(self, why: str) -> None:
        """It ends without having begun."""
        self.exit, self.why = GAVE_UP, why

    def kill(self, number: int) -> None:
        """Send a signal to its whole process group."""
        if self.runs:
            try:
                os.killpg(self.pid, number)
            except OSError:
                return  # it has just ended

    def _end(self) -> None:
        """The process has ended, and so does all that it started, as with a container's first process."""
        if self.exit is not None:
            return
        self.kill(KILL)  # before it is reaped, so that the number is its own yet
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.exit = code if code >= 0 else 128 - code
        for pump in [each for each in self.ready.values() if each != self._end]:
            pump()
        for number in self.ready:
            os.close(number)
        self.ready = {}
        os.close(self._log)
        os.close(self._times)
        if self.name == "main":
            replace(f"{self._folder}/stdout", bytes(self._tail[-self._most - 1 :]))

    def _pump(self, source: int, *, is_output: bool) -> None:
        """Take what there is. Beyond the log's bound it is taken all the same, so that nobody waits for us."""
        while source in self.ready:
            try:
                chunk = os.read(source, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                del self.ready[source]
                os.close(source)
                return
            self._write(chunk)
            if is_output and self.name == "main":
                self._tail += chunk
                if len(self._tail) > 2 * self._most:
                    del self._tail[: -self._most - 1]

    def _write(self, chunk: bytes) -> None:
        if self._left <= 0:
            return
        now = time()
        try:
            if abs(now - self._noted) >= _MOMENT:
                os.write(self._times, b"%d %.3f\n" % (self._written, now))
                self._noted = now
            self._written += os.write(self._log, chunk[: self._left])
            self._left -= len(chunk)
            if self._left <= 0:
                os.write(self._log, CUT)
        except OSError:
            self._left = 0  # a full disk


def find(command: str, path: str) -> str:
    """Where a command is. Raises `FileNotFoundError`."""
    if "/" in command:
        return command
    for folder in path.split(":"):
        program = f"{folder or '.'}/{command}"
        if os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    raise FileNotFoundError(2, "there is no such command in PATH")


def replace(path: str, content: bytes) -> None:
    """Have a file that is whole whenever it is there."""
    with open(f"{path}.new", "wb") as file:
        file.write(content)
    os.rename(f"{path}.new", path)


class Supervisor:
    """The containers of a leaf: first those that initialize it, one by one, then the others by their dependencies."""

    def __init__(self, folder: str, orders: int, events: int) -> None:
        with open(f"{folder}/supervised", "rb") as file:
            settings = marshal.load(file)
        sizes = settings["log_bytes"], settings["result_bytes"]
        self._containers = [Container(each, folder, *sizes) for each in settings["containers"]]
        self._folder, self._grace = folder, settings["grace"]
        self._orders, self._events = orders, events
        self._kill_at: float | None = None
        self._stopped = False

    def run(self) -> None:
        """Until all have ended, and that is written down."""
        replace(f"{self._folder}/began", b"")
        self._go_on()
        while any(each.runs for each in self._containers):
            self._wait()
            self._go_on()
        lines = (f"{each.name}\t{each.exit}\t{each.why}\n" for each in self._containers if each.exit is not None)
        replace(f"{self._folder}/ended", "".join(lines).encode())

    def _wait(self) -> None:
        ready = {number: each for container in self._containers for number, each in container.ready.items()}
        if not self._stopped:
            ready[self._orders] = self._stop
        poll = select.poll()
        for number in ready:
            poll.register(number, select.POLLIN)
        timeout = None if self._kill_at is None else max(self._kill_at - monotonic(), 0.0) * 1000
        for number, _ in poll.poll(timeout):
            ready[number]()
        if self._kill_at is not None and monotonic() >= self._kill_at:
            self._kill_at = None
            for each in self._containers:
                each.kill(KILL)

    def _stop(self) -> None:
        self._stopped = True
        self._terminate(self._containers)

    def _go_on(self) -> None:
        """Start what may be started by now, and end the sidecars once all that they are there for has ended."""
        while not self._stopped and (each := self._next()) is not None:
            failed = next((other for other in self._of(each.dependencies) if other.exit), None)
            if failed is not None:
                each.give_up(f'dependency "{failed.name}" exited with non-zero code: {failed.exit}')
            else:
                self._start(each)
        mains = [each for each in self._containers if each.role == "main"]
        if all(not each.runs and (self._stopped or not each.waits) for each in mains):
            self._terminate([each for each in self._containers if each.role == "sidecar"])

    def _next(self) -> Container | None:
        """One that need not wait any longer, for better or worse."""
        first = [each for each in self._containers if each.role == "init"]
        if any(each.runs or each.exit for each in first):
            return None
        waiting = [each for each in first if each.waits] or [each for each in self._containers if each.waits]
        for each in waiting:
            if all(other.exit is not None for other in self._of(each.dependencies)):
                return each
        return None

    def _of(self, names: list[str]) -> list[Container]:
        return [each for each in self._containers if each.name in names]

    def _start(self, container: Container) -> None:
        if container.start():
            replace(f"{self._folder}/started", b"")
            self._tell()

    def _tell(self) -> None:
        try:
            os.write(self._events, b".")
        except BrokenPipeError:
            return  # the engine is not there, and will look when it is

    def _terminate(self, containers: list[Container]) -> None:
        for each in [each for each in containers if each.runs and not each.told]:
            each.told = True
            each.kill(TERM)
            if self._kill_at is None:
                self._kill_at = monotonic() + self._grace


def main() -> None:
    """The argument is the leaf's folder; orders come by standard input, and events go to standard output."""
    os.closerange(3, 256)  # what somebody up there has left open is not to be kept open by a leaf
    try:
        Supervisor(sys.argv[1], 0, 1).run()
    except OSError as error:  # a full disk, most likely, so all that is left to say why is the exit code
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(error.errno or 1)
