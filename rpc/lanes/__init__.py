"""Lanes: two ways for bytes to travel to a plugin and back, behind one interface.

A lane knows connections and HTTP/1.1; it does not know what a method, a reply or a status means. It raises one of two
errors, by the one rule of the protocol: the transport died before a complete reply (`Broken`), or the bytes came and
are not the HTTP reply that was asked for (`Malformed`). Everything else is a `Response`, whatever its status; but where
nothing may be dialled there is `Forbidden`.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec
import orjson

from rpc.credentials import Credentials

MAX_HEAD: Final = 64 * 1024
"""Bytes of a reply's head, status line and headers together; more is `Malformed`."""
MAX_HEADERS: Final = 100
"""Header lines of one reply; more is `Malformed`."""
MAX_INTERIM: Final = 16
"""Interim (1xx) replies before the final one; more is `Malformed`."""
MAX_NEWCOMERS: Final = 6
"""Connections to one plugin, opened or opening, that still wait for their first reply.

Python's ``http.server`` listens with a backlog of 5: six such connections are served without a stall, a seventh has its
SYN dropped and sent again a second later.
"""

Balance = Literal["first", "all"]
"""Of a name's addresses: whether connections are made to the first that answers, or to all of them alike."""

BEWILDERED: Final = frozenset({400, 408, 411, 414, 431, 501, 505})
"""Statuses of a server that cannot make out the request, or what it took for one.

A server that answers without having read the request's body (Python's ``http.server``, where the handler leaves that
out) and keeps the connection takes that body for the beginning of the next request. Nobody can see from here that it
has not been read; so such a status, on a connection that was used before, is not believed: a lane sends that request
once more, on a new connection, and what is said there is the reply.
"""


class Response(msgspec.Struct, frozen=True, gc=False):
    """One complete HTTP reply. ``retry_after`` is that header's value as sent, None where there is none."""

    status: int
    body: bytes
    retry_after: str | None = None


class LaneError(Exception):
    """Base of what a lane raises; the message says what happened in terms of the connection."""


class Broken(LaneError):
    """The transport died before a complete reply: reset, closed early, or one of those below."""


class Unreachable(Broken):
    """No connection could be made: refused, name not found, socket file missing, connect timeout."""


class Untrusted(Unreachable):
    """The TLS handshake failed: a bad, expired or foreign certificate."""


class TimedOut(Broken):
    """Connected, but no complete reply within the total timeout of the call."""


class Dark(TimedOut):
    """The same with not a byte of a reply, where the plugin has another address, which is dialled from now on."""


class Exhausted(Broken):
    """This machine's fault, never the plugin's: out of file descriptors, ports or memory."""


OWN_FAULTS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""The ``errno`` of a failed connect that makes it `Exhausted` rather than `Unreachable`."""


class Malformed(LaneError):
    """The reply is not one we may accept: bad framing, over a cap, an encoding that was not asked for."""


class TooLarge(Malformed):
    """The reply's body is over ``max_body``."""


def is_whole(body: bytes) -> bool:
    """Whether a close-delimited 200 that ended in a reset arrived whole: its own JSON is all there is to tell by.

    (Python's ``http.server`` resets each time, since it closes without having read the request's body.)
    """
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


class Forbidden(LaneError):
    """Nothing was dialled: none of the plugin's addresses is one where it may be."""


class Waiting(Protocol):
    """Who waits for a reply: a future, or whatever else can be told of it on the spot.

    Once `done` is true nobody waits any more; then neither of the other two has an effect.
    """

    def done(self) -> bool: ...
    def set_result(self, result: Response, /) -> None: ...
    def set_exception(self, exception: Exception, /) -> None: ...


class Lane(Protocol):
    """One plugin's connections. Not shared between event loops; many calls may be under way.

    Every lane is made inside the running loop as ``SomeLane(address, timeout=seconds, max_body=bytes, headers={})``:
    ``timeout`` is the total time of one call, connect included; ``headers`` (credentials) go with each request, besides
    Host, Content-Type, Content-Length and ``Accept-Encoding: identity``, which are the lane's own. ``path`` is whole:
    the address's prefix is already in it.
    """

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        """Send one POST with a JSON body, and hand the complete reply, whatever its status, to `waiting`.

        Or an error: `Broken`, `Malformed` or `Forbidden`. Where `waiting` is done before, the call is abandoned, and
        its connection is closed within 50 ms, unless the reply had already been read to its end. ``headers`` are for
        this request alone: text of one line each, in ASCII.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; calls in flight end with `Broken`. Idempotent."""
        ...


class OwnLane(Lane, Protocol):
    """One that has connections of its own."""

    def renew(self, credentials: Credentials) -> None:
        """Send others from now on.

        With other TLS settings no call is given to a connection made with the old ones; what is under way on them goes
        on to its end, and they are closed then.
        """
        ...
