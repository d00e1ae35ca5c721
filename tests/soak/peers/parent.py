"""A plugin of the soak lives no longer than the soak, however that ends."""

from __future__ import annotations

import os
import sys
import threading


def exit_with_parent() -> None:
    """End this process when its standard input does, whose other end the parent holds and never writes to."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
