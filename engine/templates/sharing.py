"""What is made of equal documents is made once, and shared."""

from __future__ import annotations

from collections.abc import Callable
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

    def get(self, document: Any, make: Callable[[Any], T]) -> T:
        """What `make` has made of a document like this, or makes of it now. What that raises is kept for nobody.

        It is given a copy, so that what is shared stays what it is whatever becomes of the document.
        """
        try:
            key = orjson.dumps(document)
        except TypeError:  # no JSON: it may be like no other
            return make(document)
        if key in self._kept:
            found = self._kept[key] = self._kept.pop(key)
            return found
        if len(key) > self._most:
            return make(document)
        made = self._kept[key] = make(orjson.loads(key))
        self._size += len(key)
        while self._size > self._most:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._size -= len(oldest)
        return made
