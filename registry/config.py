"""What may be said in ``plugins.toml``: every key, its type, its default, and what it means.

The structs are the schema: a key that is not a field here is an error, and the ``description`` of a field is what its
error message says was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from rpc import BatchPolicy, BreakerPolicy, Credentials, Method, RetryPolicy, Secret, Tls, Token
from rpc.address import parse_address
from rpc.client import MAX_BODY, TIMEOUT, LaneName, Protocol
from rpc.credentials import check_names
from rpc.destinations import Destinations, parse_rule
from rpc.durations import parse_duration
from rpc.lanes import Balance
from rpc.replies import Phase
from rpc.spellings import NOT_FOUND_TTL
from rpc.tls import MinVersion


class FieldError(ValueError):
    """Values that are each of the right type and still wrong; ``field`` is the key to complain about."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Seconds(float):
    """A length of time greater than zero; written as Go writes it (``"50ms"``, ``"1h30m"``) in a file."""

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Raises `ValueError`, whose message says what was expected."""
        if not isinstance(value, str):
            raise ValueError(f'expected a duration in quotes, such as "500ms", "2m" or "1h30m", got {show(value)}')
        seconds = cls(parse_duration(value))
        if not seconds > 0:
            raise ValueError(f"expected a duration greater than zero, got {show(value)}")
        return seconds


# What an embedder's own client has where nothing is said.
_RETRY, _BREAKER, _BATCH = RetryPolicy(), BreakerPolicy(), BatchPolicy()

Glob = Annotated[str, Meta(min_length=1, description='a name, or a glob such as "build-*"')]
Globs = Annotated[tuple[Glob, ...], Meta(description='a list of names or globs, such as ["build-*"]')]
Place = Annotated[str, Meta(description='an IP address, a network such as "10.0.0.0/8", or a name or a glob')]
Count = Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
Duration = Annotated[Seconds, Meta(description='a duration such as "1s"')]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all tables have in common: fixed once read, and no keys but the documented ones."""


class EngineSettings(Settings, frozen=True):
    """``[engine]``. ``loop_deadline``: seconds that one pass over a workflow may take.

    ``enabled`` turns plugins on, and so does ARGO_PLUGINS=true in the environment. ``allowed_addresses``: where plugins
    may be, as `rpc.destinations.parse_rule` takes it; None for anywhere.
    """

    enabled: Annotated[bool, Meta(description="true or false")] = False
    loop_deadline: Duration = Seconds(30.0)
    allowed_addresses: Annotated[
        tuple[Place, ...] | None, Meta(description='an array such as ["localhost", "10.0.0.0/8", "*.svc"]')
    ] = None

    def __post_init__(self) -> None:
        if self.allowed_addresses == ():
            raise FieldError("allowed_addresses", "expected one address or more, got an empty array")
        for index, entry in enumerate(self.allowed_addresses or ()):
            try:
                parse_rule(entry)
            except ValueError as error:
                raise FieldError(f"allowed_addresses[{index}]", str(error)) from None


class RetrySettings(Settings, frozen=True):
    """``retry = {...}``: of one call, when it failed in a way that may pass.

    ``attempts`` counts the first one, so that 1 means no retries. The delays, in seconds, grow exponentially from
    ``backoff`` to ``max_backoff``, with full jitter.
    """

    attempts: Count = _RETRY.attempts
    backoff: Duration = Seconds(_RETRY.backoff)
    max_backoff: Duration = Seconds(_RETRY.max_backoff)

    def __post_init__(self) -> None:
        if self.max_backoff < self.backoff:
            raise FieldError("max_backoff", f"expected at least backoff ({self.backoff:g}s), got {self.max_backoff:g}s")


class BreakerSettings(Settings, frozen=True):
    """``breaker = {...}``: when to stop calling a plugin for a while.

    It opens when at least ``min_calls`` ended in the last ``window`` seconds and ``failure_ratio`` of them failed by
    the plugin's fault; after ``open_for`` seconds a probe may close it.
    """

    failure_ratio: Annotated[float, Meta(gt=0, le=1, description="a number above 0, 1 at most")] = (
        _BREAKER.failure_ratio
    )
    min_calls: Count = _BREAKER.min_calls
    window: Duration = Seconds(_BREAKER.window)
    open_for: Duration = Seconds(_BREAKER.open_for)


class BatchSettings(Settings, frozen=True):
    """``batch = {...}``: whether many calls may travel in one request, and how large such a request may be.

    ``max_bytes`` is about the request's body.
    """

    enabled: Annotated[bool, Meta(description="true or false")] = _BATCH.enabled
    max_calls: Count = _BATCH.max_calls
    max_bytes: Annotated[int, Meta(ge=1, description="a number of bytes, 1 or more")] = _BATCH.max_bytes


TYPES: Final = (
    *("container", "script", "containerSet", "resource", "data", "steps", "dag", "suspend", "http", "plugin"),
    *("Pod", "Steps", "DAG", "Suspend", "HTTP", "Plugin"),
)
"""What a template may be, and the types of its nodes."""

_NAMES: Final[tuple[tuple[str, str, Iterable[str]], ...]] = (
    ("methods", "node.*", Method),
    ("types", "Pod", TYPES),
    ("phases", "Running", get_args(Phase)),
)


class MatchSettings(Settings, frozen=True):
    """``match = {...}``: the calls that a plugin is sent. Of each key that is given something must match.

    ``methods`` are names of methods. ``templates`` are names of templates, ``types`` what a template is (``container``,
    ``steps``...) or its node's type (``Pod``...), ``phases`` phases of the node: all for calls about nodes only.
    ``namespaces`` are the workflow's, ``labels`` too, each with a glob for its value.
    """

    methods: Globs = ()
    namespaces: Globs = ()
    templates: Globs = ()
    types: Globs = ()
    phases: Globs = ()
    labels: Annotated[dict[str, Glob], Meta(description='a table of strings, such as { team = "a*" }')] = {}

    def __post_init__(self) -> None:
        """A glob that nothing will ever match is a mistake: the plugin would never be asked, and nobody would hear."""
        for field, such_as, names in _NAMES:
            for glob in getattr(self, field):
                if not any(fnmatchcase(name, glob) for name in names):
                    raise FieldError(field, f'expected names of {field}, such as "{such_as}", got {show(glob)}')


FileName = Annotated[str, Meta(min_length=1, description="the name of a file")]
AnyFileName = Annotated[Annotated[str, Meta(min_length=1)] | None, Meta(description="the name of a file")]


class TlsSettings(Settings, frozen=True):
    """``tls = {...}``, which becomes a `rpc.Tls`: whom to trust, and how to prove who we are."""

    ca_file: AnyFileName = None
    cert_file: AnyFileName = None
    key_file: AnyFileName = None
    key_password_file: AnyFileName = None
    server_name: Annotated[str | None, Meta(description="the name of a host, or its IP address")] = None
    min_version: Annotated[MinVersion, Meta(description='"1.2" or "1.3"')] = "1.2"
    verify: Annotated[bool, Meta(description="true or false")] = True

    def files(self, folder: Path) -> dict[str, Any]:
        """By their keys; names are relative to `folder`."""
        names = {key: getattr(self, key) for key in ("ca_file", "cert_file", "key_file", "key_password_file")}
        return {key: folder / name for key, name in names.items() if name is not None}

    def read(self, folder: Path, known: Iterable[Tls] = ()) -> Tls:
        """With what is in its files. Raises `rpc.BadTls`.

        Of those in force, which are `known`, one is taken again that is like this: it may have expired since.
        """
        files = self.files(folder)
        settings = files, self.server_name, self.min_version, self.verify
        for tls in known:
            if (tls.files, tls.server_name, tls.min_version, tls.verify) == settings:
                return tls.again()
        return Tls(
            **files,
            server_name=self.server_name,
            min_version=self.min_version,
            verify=self.verify,
        )


class HeaderSettings(Settings, frozen=True):
    """``headers = { "X-Api-Key" = {...} }``: the value is in a file, since more people read the configuration."""

    file: FileName


FailurePolicy = Literal["abort", "ignore"]
Cache = Literal["auto", "on", "off"]
Mode = Literal["apply", "observe"]
Payload = Literal["metadata", "full"]


class PluginConfig(Settings, frozen=True, kw_only=True):
    """One ``[[plugins]]`` table. Raises `ValueError` for an address or a name that cannot be.

    ``timeout`` is in seconds and covers a whole attempt, connect included; ``max_body`` is in bytes, of a reply.
    ``not_found_ttl`` is for how many seconds a 404 is believed.
    ``failure_policy``, ``mode``, ``payload``, ``cache``, ``cache_ttl`` and ``match`` are for the engine; everything
    else says how to call the plugin.
    """

    name: Annotated[str, Meta(description='a name, such as "hello"')]
    address: Annotated[str, Meta(description="an http://, https:// or unix:/// address")]
    protocol: Annotated[Protocol, Meta(description='"auto", "short", "go" or "v1"')] = "auto"
    lane: Annotated[LaneName, Meta(description='"auto", "aiohttp" or "wire"')] = "auto"
    balance: Annotated[Balance, Meta(description='"first" or "all"')] = "first"
    timeout: Duration = Seconds(TIMEOUT)
    concurrency: Annotated[
        Annotated[int, Meta(ge=1)] | Literal["adaptive"], Meta(description='"adaptive" or a whole number, 1 or more')
    ] = "adaptive"
    not_found_ttl: Duration = Seconds(NOT_FOUND_TTL)
    max_body: Annotated[int, Meta(ge=2, description="a number of bytes, 2 or more")] = MAX_BODY
    token: Annotated[Token | None, Meta(description="the name of a file")] = msgspec.field(
        default=None, name="token_file"
    )
    headers: Annotated[
        dict[str, Annotated[Secret, Meta(description='a table, such as { file = "key" }')]] | None,
        Meta(description='a table, such as { "X-Api-Key" = { file = "key" } }'),
    ] = None
    tls: Annotated[Tls | None, Meta(description="a table")] = None
    failure_policy: Annotated[FailurePolicy, Meta(description='"abort" or "ignore"')] = "abort"
    mode: Annotated[Mode, Meta(description='"apply" or "observe"')] = "apply"
    payload: Annotated[Payload, Meta(description='"metadata" or "full"')] = "metadata"
    cache: Annotated[Cache, Meta(description='"auto", "on" or "off"')] = "auto"
    cache_ttl: Annotated[Seconds | None, Meta(description='a duration such as "10m"')] = None
    match: Annotated[MatchSettings | None, Meta(description="a table")] = None
    batch: Annotated[BatchSettings, Meta(description="a table")] = BatchSettings()
    retry: Annotated[RetrySettings, Meta(description="a table")] = RetrySettings()
    breaker: Annotated[BreakerSettings, Meta(description="a table")] = BreakerSettings()

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name != self.name.strip() or not self.name.isprintable():
            raise FieldError(
                "name", f"expected a name with no control characters or blanks around it, got {show(self.name)}"
            )
        try:
            address = parse_address(self.address)
        except ValueError as error:
            raise FieldError("address", str(error)) from None
        if self.tls is not None and address.scheme != "https":
            raise FieldError("tls", f"expected an https:// address, got {show(self.address)}")
        try:
            check_names(self.headers or {}, token=self.token is not None)
        except ValueError as error:
            raise FieldError("headers", str(error)) from None

    @property
    def credentials(self) -> Credentials:
        """What the plugin is shown, and whom it must be."""
        return Credentials(self.token, self.headers or {}, self.tls)


class KubernetesSettings(Settings, frozen=True, kw_only=True):
    """``[kubernetes]``: the namespace in which plugins are found as ConfigMaps.

    ``kubeconfig`` and ``context`` say in which cluster, where that is not the one that this process is in.
    """

    namespace: Annotated[
        str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description='a namespace, such as "argo"')
    ]
    kubeconfig: Annotated[str | None, Meta(description="the name of a file")] = None
    context: Annotated[str | None, Meta(description="the name of a context in the kubeconfig")] = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All that is configured. ``plugins`` in calling order: those of the file, then those of the ConfigMaps.

    ``discovered`` are the names of the latter. ``kubernetes`` says where to find more. ``sources`` are the
    files and folders all this was read from, which are those to watch for changes. Raises `ValueError` for two plugins
    of one name.
    """

    engine: EngineSettings = EngineSettings()
    kubernetes: KubernetesSettings | None = None
    plugins: tuple[PluginConfig, ...] = ()
    discovered: frozenset[str] = frozenset()
    sources: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        names = [plugin.name for plugin in self.plugins]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two plugins have the same name: {', '.join(sorted(twice))}")

    def destinations(self, plugin: PluginConfig) -> Destinations:
        """Where this one may be."""
        return Destinations(self.engine.allowed_addresses, plugin.name in self.discovered)


def show(value: object, limit: int = 60) -> str:
    """`value` as one would write it in TOML, cut to `limit` characters and always on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=False)  # which takes what is no text, too: bytes of an argument
            return text if len(text) <= limit else f'{text[:limit]}..."'
        case dict():
            return "a table"
        case list() | tuple():
            return "an array"
        case None:
            return "null"
        case _:
            return str(value)
