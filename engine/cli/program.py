"""The commands as one program, whose every end but a bug is an exit code and at most one line."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO

import click

from engine.cli import INTERRUPTED
from engine.cli.call import call
from engine.cli.explain import explain
from engine.cli.operations import resume, retry, stop, suspend, terminate
from engine.cli.outcomes import outcomes
from engine.cli.replay import replay
from engine.cli.run import run
from engine.cli.serve import serve
from engine.cli.verify import verify
from registry.cli import BadInput, check
from registry.logs import configure_logs
from registry.terminal import tell

_UNWRITABLE: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT, errno.EFBIG})
"""What goes wrong with standard output and with nothing else here: files that are read have errors of their own."""


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Where standard output may not take what is written: to be said before click makes light of a broken pipe."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _give_up(sys.stdout)
        raise BadInput(f"standard output: {error.strerror}") from None


def _give_up(stream: TextIO) -> None:
    """Have Python not try again to write what is left when it ends, which would be another exit code."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Commands(click.Group):
    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _writing():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _writing():
            return super().invoke(ctx)


@click.group(cls=_Commands)
@click.version_option(package_name="oarlock")
def oarlock() -> None:
    """Reconcile Argo-style workflows in memory, with plugins that are called over HTTP.

    Exit codes: 0 all went well, 1 a workflow did not succeed, or a plugin cannot be called or has faults, 2 bad input
    or an output that cannot be written, 3 a workflow is not finished, 130 Ctrl-C.
    """


for command in (
    run, serve, outcomes, stop, terminate, suspend, resume, retry, explain, replay, check, call, verify
):  # fmt: skip
    oarlock.add_command(command)


def run_program(*args: Any, **extra: Any) -> int:
    """Run the command that the arguments name, as click does; returns the exit code."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        if sys.stdout is None:
            raise BadInput("standard output is closed")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        configure_logs("warning")
        code = _run(*args, **extra)
        with _writing():
            sys.stdout.flush()
    except click.ClickException as error:
        return _complain(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _give_up(sys.stderr)
    return code


def _run(*args: Any, **extra: Any) -> int:
    try:
        code = oarlock.main(*args, **{**extra, "standalone_mode": False})
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else 0


def _complain(error: click.ClickException) -> int:
    """Show it: of click's own errors all lines, of ours the one that there is."""
    text = io.StringIO()
    error.show(text)
    lines = text.getvalue().splitlines() if isinstance(error, click.UsageError) else [f"Error: {error.message}"]
    for line in lines:
        tell(line)
    return error.exit_code
