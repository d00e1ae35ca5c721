"""Whether a document takes longer to go through than a turn of the event loop should."""

from __future__ import annotations

from typing import Any, Final

LARGE: Final = 64 * 1024
"""Bytes as JSON, more or less: what takes as long as they do, a millisecond, is done at once."""


def is_large(document: Any) -> bool:
    """Whether it is, which is known without having looked at more of it than that."""
    left, unseen = LARGE, [document]
    for each in unseen:
        kind = type(each)
        if kind is str:
            left -= len(each)
        elif kind is dict or kind is list or kind is tuple:
            left -= 8 * len(each)
            if left > 0:
                unseen += each
                if kind is dict:
                    unseen += each.values()
        if left <= 0:
            return True
    return False
