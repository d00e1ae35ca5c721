"""How the calls of one `Client.ask` travelled, for who wants to know it of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rpc.observing import Request, RequestObserver


class Journey(NamedTuple):
    """The last request that carried a call, which call in it this is, and how many requests it took."""

    request: Request
    position: int
    attempts: int


class Journeys:
    """To be given to one `Client.ask`. ``requests`` has those that are over, each with the places of its calls."""

    def __init__(self) -> None:
        self.requests: list[tuple[Request, Sequence[int]]] = []

    def by_place(self) -> dict[int, Journey]:
        """Those of the calls that were sent, by place."""
        found: dict[int, Journey] = {}
        for request, places in self.requests:
            for position, place in enumerate(places):
                before = found.get(place)
                found[place] = Journey(request, position, 1 if before is None else before.attempts + 1)
        return found


class Following:
    """Observes the requests with the calls at some places. ``others`` is told of them as well."""

    __slots__ = ("_journeys", "_others", "places")

    def __init__(self, journeys: Journeys, others: RequestObserver | None, places: Sequence[int] = ()) -> None:
        self._journeys = journeys
        self._others = others
        self.places = places

    def requested(self, request: Request) -> None:
        """See `rpc.RequestObserver`."""
        self._journeys.requests.append((request, self.places))
        if self._others is not None:
            self._others.requested(request)
