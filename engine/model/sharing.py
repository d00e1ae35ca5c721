"""What is made of equal documents is made once, and shared."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")


class Shared(Generic[T]):
    """Things by what they are made from; those that nobody has asked for lately leave first.

    ``most`` is the number of bytes that the documents may have in all, as JSON: what is made of one may take ten times
    that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, T] = {}
        self._size = 0
        self._lock = Lock()
        """What is large is made off the event loop."""

    def get(self, document: Any, make: Callable[[Any], T]) -> T:
        """What `make` has made of a document like this, or makes of it now. What that raises is kept for nobody.

        It is given a copy, so that what is shared stays what it is whatever becomes of the document.
        """
        try:
            key = orjson.dumps(document)
        except TypeError:  # no JSON: it may be like no other
            return make(document)
        with self._lock:
            if key in self._kept:
                found = self._kept[key] = self._kept.pop(key)
                return found
        if len(key) > self._most:
            return make(document)
        made = make(orjson.loads(key))
        with self._lock:
            self._size += len(key) if key not in self._kept else 0
            self._kept[key] = made
            while self._size > self._most:
                oldest = next(iter(self._kept))
                del self._kept[oldest]
                self._size -= len(oldest)
        return made
