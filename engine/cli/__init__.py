"""The command line: run workflows on a laptop, stop, resume and retry them, check and call plugins.

Nothing that takes time is imported before it is known what becomes of a Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, Final, NoReturn

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""


class Program:
    """To be called as a click command is."""

    name: Final = "oarlock"

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command that the arguments name and exit: a Ctrl-C ends it at once, but for passes under way."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED)) if in_main_thread else None
        try:
            from engine.cli.program import run_program

            code = run_program(*args, **extra)
        finally:
            if in_main_thread:
                signal.signal(signal.SIGINT, before)
        sys.exit(code)

    __call__ = main


main: Final = Program()
