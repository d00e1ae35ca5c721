"""Undoing what programs do to logs: `configure_logs`, and `bench failures`, which silences them."""

from __future__ import annotations

import logging

from registry.logs import OURS, StandardError


def unconfigure() -> None:
    """The root logger as Python has it, but for what pytest adds."""
    logging.disable(logging.NOTSET)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, StandardError)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)
