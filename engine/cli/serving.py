"""What `oarlock serve` is asked for, made into an engine and a server."""

from __future__ import annotations

import gc
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from engine.cli.options import EngineOptions
from engine.cli.parts import Lost, executor_of, no_shards, read_registry, reconciler_of, recorded
from engine.cluster.transport import TransportError
from engine.executors.executor import Executor
from engine.executors.outcomes import Outcomes
from engine.executors.simulated import SimulatedExecutor
from engine.manifests import ManifestError, Manifests, load
from engine.manifests.loading import Manifest
from engine.reconciler import Reconciler
from engine.recording.recorder import Recorder
from engine.serving.admission import admitted, anew, manifest_of
from engine.serving.errors import ApiError, Code
from engine.serving.guard import is_loopback
from engine.serving.records import Records
from engine.serving.retention import Retention
from engine.serving.server import CannotListen, Listening
from engine.serving.server import serve as serve_engine
from engine.serving.shelves import Shelves
from engine.storage.memory import MemoryStore
from engine.storage.sqlite import SqliteStore
from engine.storage.store import Store, StoreError
from engine.templates.catalog import InvalidDocument
from registry.cli import BadInput
from registry.errors import ConfigError
from registry.logs import configure_logs
from registry.secrets import warn_of_readers
from registry.terminal import tell
from rpc.logs import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(EngineOptions):
    """The options of the command."""

    store: Path | None
    listen: str
    token_file: Path | None
    insecure: bool
    tls_cert: Path | None
    tls_key: Path | None
    keep_finished: int


def serve(options: Options) -> None:
    """Serve until told to end. Raises `BadInput`."""
    configure_logs("info" if options.verbose else "warning")
    listening = _listening(options)
    try:
        manifests = load(options.files)
        outcomes = Outcomes.load(options.outcomes) if options.outcomes is not None else None
        registry = read_registry(options.config)
    except (ManifestError, ConfigError) as error:
        raise BadInput(str(error)) from None
    executor = executor_of(options, outcomes, lambda: SimulatedExecutor(outcomes))
    store: Store = MemoryStore() if options.store is None else SqliteStore(options.store)
    recorder = Recorder(options.record)  # the page tells of what it hears
    if listening.token is not None:
        recorder.hide(listening.token)
    # Time is what it is here, also where leaves are simulated: others wait with us.
    engine = reconciler_of(options, registry, executor=executor, store=store, clock=time.time, recorder=recorder)
    try:
        with recorded(engine):
            uvloop.run(_serve(engine, store, listening, manifests, options))
    except (CannotListen, ConfigError, StoreError) as error:
        raise BadInput(str(error)) from None
    except TransportError as error:
        raise BadInput(no_shards(options, error)) from None


async def _serve(
    engine: Reconciler, store: Store, listening: Listening, manifests: Manifests, options: Options
) -> None:
    @asynccontextmanager
    async def around(records: Records, shelves: Shelves) -> AsyncIterator[None]:
        try:
            _put_templates(engine, manifests)
            await _keep(shelves, manifests)
            await _submit(engine, records, manifests)
            async with Retention(records, engine.clock, options.keep_finished).kept():
                yield
        finally:
            await _close(engine.executor, end_leaves=options.store is None)

    listens = False

    def told(url: str) -> None:
        nonlocal listens
        listens = True
        if listening.token is None and not listening.loopback:
            _log.warning("insecure: whoever can reach the address may do anything", address=url)
        _spare_the_collector()
        tell(f"listening on {url}")

    try:
        await serve_engine(engine, store, listening, around, told)
    except TransportError as error:
        if listens:
            raise Lost(no_shards(options, error)) from None
        raise


def _spare_the_collector() -> None:
    """A full collection goes through all there is, and nobody is answered meanwhile. What is here for good is left out
    of it, and large manifests, which are no cycles, do not set it off: that takes some millions of objects now."""
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 1_000)


async def _close(executor: Executor, *, end_leaves: bool) -> None:
    """What runs is found again by the next start, where there is a store; else nobody would ever look after it."""
    from engine.executors.local import LocalExecutor

    if isinstance(executor, LocalExecutor):
        await executor.close(end_leaves=end_leaves)


# The manifests


def _put_templates(engine: Reconciler, manifests: Manifests) -> None:
    for manifest in (*manifests.templates, *manifests.config_maps.values()):
        try:
            engine.templates.put(manifest.document)
        except InvalidDocument as error:
            raise BadInput(f"{manifest}: {error}") from None


async def _keep(shelves: Shelves, manifests: Manifests) -> None:
    """Have the templates and CronWorkflows of the manifests among those that clients keep here."""
    for manifest in (*manifests.templates, *manifests.cron_workflows.values()):
        kind = manifest.document["kind"]
        document = anew(manifest_of(manifest.document, kind, manifest.namespace, kind))
        try:
            await shelves.apply({**document, "metadata": {**document["metadata"], "name": manifest.name}})
        except ApiError as error:
            raise BadInput(f"{manifest}: {error}") from None


async def _submit(engine: Reconciler, records: Records, manifests: Manifests) -> None:
    """Submit the workflows of the manifests, but those whose name is there already."""
    for manifest in _workflows(manifests):
        try:
            document = anew(manifest_of(manifest.document, "workflow", manifest.namespace))
            await records.submit(await admitted(document, engine.templates))
        except ApiError as error:
            if error.code is not Code.ALREADY_EXISTS:
                raise BadInput(f"{manifest}: {error}") from None
            _log.info("left alone", workflow=f"{manifest.namespace}/{manifest.name}", reason=str(error))


def _workflows(manifests: Manifests) -> Iterator[Manifest]:
    """Those that are workflows by themselves: what a CronWorkflow makes is for its schedule to begin."""
    scheduled = {(each.path, each.index) for each in manifests.cron_workflows.values()}
    return (each for each in manifests.workflows if (each.path, each.index) not in scheduled)


# Where to listen, and for whom


def _listening(options: Options) -> Listening:
    host, port = _address(options.listen)
    loopback = is_loopback(host)
    token = _token(options.token_file) if options.token_file is not None else None
    if token is None and not loopback and not options.insecure:
        raise BadInput(
            f"--listen {options.listen}: expected --token-file, since whoever reaches it could run anything here"
            " (--insecure lets them)"
        )
    return Listening(host, port, token, loopback, _tls(options.tls_cert, options.tls_key))


def _address(listen: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname or "", parts.port
        plain = parts.netloc == listen and "@" not in listen
    except ValueError:
        plain = False
    if not plain or port is None:
        raise BadInput(f"--listen: expected HOST:PORT, such as 127.0.0.1:2746 or [::1]:2746, got {listen!r}")
    return host, port


def _token(file: Path) -> str:
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise BadInput(f"--token-file: {file}: {error.strerror}") from None
    if not token:
        raise BadInput(f"--token-file: {file}: expected a token, it is empty")
    if not all(0x21 <= each <= 0x7E for each in token):
        raise BadInput(f"--token-file: {file}: expected one token of printable ASCII characters without spaces")
    warn_of_readers(file)
    return token.decode()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise BadInput(f"{'--tls-cert' if certificate is None else '--tls-key'}: expected it as well, for https")
    for option, file in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise BadInput(f"{option}: {file}: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # and nobody is asked for one
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise BadInput(f"--tls-cert {certificate}: expected a certificate, and --tls-key with its key: {why}") from None
    warn_of_readers(key)
    return context
