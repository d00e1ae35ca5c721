"""What the driver of a fleet and its shards write to each other: items, in letters.

An item is JSON, which says whatever a workflow may say. The entries of one, most of the mail and JSON already, stand
beside that as they are: they pass through to the store, and nobody reads over what nobody asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from engine.executors.executor import Result
from engine.model import encoding
from engine.model.statistics import EngineStats, PassEnding
from engine.reconciling.entries import LEAF, NODE
from engine.reconciling.observing import PassEnd
from engine.recording import recorder
from engine.recording.recorder import Told
from engine.storage.store import Change, Head, Values
from engine.templates.reads import Output
from registry.records import RegistryStats
from rpc.breaker import BreakerState
from rpc.stats import Outcome, Spread
from rpc.tally import Growth

Sealed = dict[str, bytes]
"""Entries of a workflow by kind, those of a kind as one piece of JSON: an object, by key."""

Entries = dict[str, dict[str, msgspec.Raw]]
"""The entries of a workflow, by kind and key, as `engine.reconciling.entries` has them."""


class Item(msgspec.Struct, array_like=True, gc=False):
    """What a letter is made of. ``gc=False``: JSON holds no cycles."""


# What the driver says


class Take(Item, tag="take"):
    """Have a workflow: what the store has of it. That is a new one as well as one of a shard that is gone."""

    uid: str
    put: Sealed


class Report(Item, tag="report"):
    """Leaves have something to say, all the same; it may have been said before, also to a shard that is gone."""

    uid: str
    node_ids: list[str]
    result: Result


class Ask(Item, tag="ask"):
    """Do something with a workflow (``uid`` empty: with the engine), and answer with `Done` of the same number."""

    number: int
    uid: str
    name: str
    arguments: dict[str, Any]


class Document(Item, tag="document"):
    """A template or a ConfigMap that workflows may refer to is this now, or is none any more."""

    kind: str
    namespace: str
    name: str
    document: dict[str, Any] | None


class Configure(Item, tag="configure"):
    """The plugins are these from now on, as `engine.cluster.configuring` packs them."""

    config: bytes


class Turn(Item, tag="turn"):
    """Make passes from now on, for ``timeout`` seconds of the shard's clock where that is given."""

    timeout: float | None


class Hide(Item, tag="hide"):
    """Leave these texts out of what is recorded."""

    secrets: list[str]


class Drain(Item, tag="drain"):
    """Begin no more passes; those under way are aborted after ``grace`` seconds, or never (None)."""

    grace: float | None


class Kept(Item, tag="kept"):
    """So many of the shard's items are done, up to what is durable."""

    count: int


Down = Take | Report | Ask | Document | Configure | Turn | Drain | Hide | Kept

# What a shard says


class Committed(Item, tag="committed"):
    """A `Change`: what a pass changed, or what was said from outside. It counts once it is durable, and what is said
    behind it is to be done only then. The last one of a workflow has a head that is finished: nothing is left to do."""

    head: Head
    put: Sealed = {}
    gone: dict[str, list[str]] = {}
    whole: bool = False
    starting: tuple[int, int] = (0, 0)
    """Where in the JSON of nodes those stand, others perhaps between, whose leaves are to be started: they are read."""


class Template(Item, tag="template"):
    """The substituted template of leaves to come: those that are alike share it, by its number."""

    number: int
    document: dict[str, Any]


class Start(Item, tag="start"):
    """Start leaves, unless they were started before; their nodes are as they were committed last."""

    uid: str
    node_ids: list[str]
    template: int


class Stop(Item, tag="stop"):
    """Stop a leaf."""

    uid: str
    node_id: str


class PluginNews(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What has come to the figures of a plugin; from ``breaker`` on they are of now."""

    name: str
    address: str
    mode: str
    retries: int
    unknown_fields: int
    breaker_opened: int
    tallies: dict[str, Growth]
    breaker: BreakerState
    limit: int
    in_flight: int
    waiting: int


class News(Item, tag="news"):
    """What has come to the figures of a shard. Of the ``stats`` what is no count is of now, as are durations.

    ``spent`` and ``refused`` are what the retry budget was asked for.
    """

    stats: EngineStats
    passes: dict[PassEnding, Spread]
    turns: Spread
    oldest_queued: float
    longest_pass: float
    registry: RegistryStats | None
    spent: int
    refused: int
    plugins: list[PluginNews]


class MadeUp(Item, tag="made-up"):
    """Outputs that a simulated executor has made up since it said so last, and what they are."""

    outputs: list[tuple[Output, str]]


class Done(Item, tag="done"):
    """What came of an `Ask`: a value, or an error by the name of its class and its message."""

    number: int
    value: Any = None
    error: tuple[str, str] | None = None


class State(Item, tag="state"):
    """How the shard's engine is, with as many items ``taken`` as it has seen to.

    ``turning`` says whether it makes passes, ``still`` that none will be wanted by itself, ``held_up`` that it waits to
    be told that what it has said is `Kept`.
    """

    taken: int
    turning: bool
    still: bool
    held_up: bool = False


class Requested(Item, tag="requested"):
    """For an observer: a request to a plugin is over. The values of a `rpc.Request`."""

    values: tuple[str, str, int, bytes, bytes, float, float, Outcome, float]


class PassBegun(Item, tag="pass-begun"):
    """For an observer."""

    workflow: str


class PassOver(Item, tag="pass-over"):
    """For an observer."""

    ended: PassEnd


class Recorded(Item, tag="recorded"):
    """Lines of a record."""

    lines: bytes


class CallTold(Item, tag="call-told"):
    """For those who listen to a recorder."""

    told: Told


class PassTold(Item, tag="pass-told"):
    """Likewise."""

    told: recorder.PassTold


class Logged(Item, tag="logged"):
    """A line of a log: what a `logging.LogRecord` has, and its fields as texts."""

    name: str
    level: int
    text: str
    fields: dict[str, str]
    exception: str = ""


Seen = Requested | PassBegun | PassOver | Recorded | CallTold | PassTold | Logged
"""What is for whoever watches a fleet."""

Up = Committed | Template | Start | Stop | Done | State | News | MadeUp | Seen

_T = TypeVar("_T")


class Letter(msgspec.Struct, Generic[_T], array_like=True):
    """Items that were put one after the other, the first of them under the number ``first``; see `Mailbox`.

    ``number`` is the letter's own, ``seen`` the highest one of a letter from the other side, ``heard`` how many items
    from there were taken.
    """

    epoch: int
    number: int
    seen: int
    heard: int
    first: int
    items: list[_T]


pack: Final = msgspec.msgpack.Encoder().encode
"""A letter of items that are encoded."""
_unpack: Final = msgspec.msgpack.Decoder(Letter[tuple[bytes, Sealed]]).decode


def encode(item: Item) -> bytes:
    """An item as it is mailed. Raises what is no JSON's, `engine.model.encoding.UNENCODABLE`."""
    if isinstance(item, _LADEN):
        return pack((encoding.encode(replace(item, put={})), item.put))
    return pack((encoding.encode(item), _NOTHING))


_LADEN: Final = Committed, Take
_NOTHING: Final[Sealed] = {}


def _reader(decode: Callable[[bytes], _T]) -> Callable[[bytes], Letter[_T]]:
    def read(data: bytes) -> Letter[_T]:
        letter = _unpack(data)
        items = list[_T]()
        for text, put in letter.items:
            items.append(item := decode(text))
            if isinstance(item, _LADEN):
                item.put = put
        return Letter(letter.epoch, letter.number, letter.seen, letter.heard, letter.first, items)

    return read


read_down: Final = _reader(msgspec.json.Decoder(Down).decode)
"""A letter of the driver's, read by a shard. Raises `msgspec.MsgspecError`."""
read_up: Final = _reader(msgspec.json.Decoder(Up).decode)
"""A letter of a shard's, read by the driver. Likewise."""


def committed(change: Change) -> Committed:
    """A change as it is mailed. Raises what `encode` does."""
    put = seal({kind: some for kind, some in change.put.items() if kind != NODE})
    starting = 0, 0
    if NODE in change.put:
        put[NODE], starting = _seal_nodes(change.put[NODE], change.put.get(LEAF, {}))
    gone = {kind: [*keys] for kind, keys in change.gone.items()}
    return Committed(change.head, put, gone, change.whole, starting)


def _seal_nodes(nodes: Mapping[str, Any], leaves: Collection[str]) -> tuple[bytes, tuple[int, int]]:
    """Nodes as they are mailed, and where those of ``leaves`` stand."""
    items = [*nodes.items()]
    places = [place for place, (node_id, _) in enumerate(items) if node_id in leaves]
    first, end = (places[0], places[-1] + 1) if places else (0, 0)
    before, those, after = (
        encoding.encode(dict(some))[1:-1] for some in (items[:first], items[first:end], items[end:])
    )
    start = 1 + len(before) + bool(before)
    return b"{%b}" % b",".join(filter(None, (before, those, after))), (start, start + len(those))


def seal(values: Values) -> Sealed:
    """Entries as they are mailed. Raises what `encode` does."""
    return {kind: encoding.encode(some) for kind, some in values.items()}


def unseal(sealed: Sealed) -> Entries:
    """And read again."""
    return {kind: _by_key(some) for kind, some in sealed.items()}


def of_kind(sealed: Sealed, kind: str) -> dict[str, msgspec.Raw]:
    """Those of one kind, by key."""
    return _by_key(sealed[kind]) if kind in sealed else {}


_by_key: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
