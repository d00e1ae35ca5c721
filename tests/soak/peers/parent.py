"""A plugin of the soak lives no longer than the soak, however that ends."""

from __future__ import annotations

import os
import threading


def exit_with_parent() -> None:
    """End this process when its standard input does, whose other end the parent holds and never writes to."""

    def wait() -> None:
        while os.read(0, 1):  # the lock of `sys.stdin` would be in the way of an interpreter that ends
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
