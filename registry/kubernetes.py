"""ConfigMaps as a cluster's API server tells of them: all that needs ``kubernetes_asyncio``.

That is an extra, which ``pip install 'oarlock[kubernetes]'`` brings. It finds the API server, and proves who we are, as
every client of Kubernetes does; what is listed and watched is read here, as bytes, since its models cost more than all
that we want of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.http import HttpProcessingError
from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from registry.config import KubernetesSettings
from registry.configmaps import CONTROLLER_PLUGIN, LABEL
from registry.discovering import ClusterError, Event, Gone, Listing, Session

_PATIENCE: Final = 10.0
"""Seconds for a list, and for a watch to begin."""
_WATCH: Final = 240
"""Seconds after which the API server is asked to end a watch, so that one that is dead is not waited on for ever."""
_MAX_LIST: Final = 32 * 1024 * 1024
"""Bytes of a list. ConfigMaps are 1 MiB each, at most."""


class ConfigMaps:
    """Those with the label of controller plugins in one namespace; a `registry.discovering.Cluster`.

    The API server is that of the kubeconfig that is configured, or that KUBECONFIG names; else that of the cluster that
    this process is in; else that of ``~/.kube/config``.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connect with what is in files now: tokens and certificates that were rotated count from here on."""
        async with client.ApiClient(await self._configuration()) as api:
            yield _Session(client.CoreV1Api(api), self._settings.namespace)

    async def _configuration(self) -> client.Configuration:
        found = client.Configuration()
        named = self._settings.kubeconfig or os.environ.get("KUBECONFIG")
        try:
            if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
                load: Any = config.load_incluster_config  # it has no types
                load(client_configuration=found)
            else:
                named = named or KUBE_CONFIG_DEFAULT_LOCATION
                _check_there(named)
                await config.load_kube_config(
                    named, self._settings.context, client_configuration=found, persist_config=False
                )
        except Exception as error:  # it raises whatever comes of reading the file, and of running what it names
            raise ClusterError(f"cannot read {named or 'the service account'}: {error}") from error
        return found


def _check_there(named: str) -> None:
    """Raises `FileNotFoundError` where none of these kubeconfigs is there: the client would go on without."""
    if not any(os.path.exists(os.path.expanduser(each)) for each in named.split(os.pathsep)):
        raise FileNotFoundError(os.strerror(errno.ENOENT))


class _Session:
    """A `registry.discovering.Session`."""

    def __init__(self, api: client.CoreV1Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def list(self) -> Listing:
        async with self._get("list", aiohttp.ClientTimeout(total=_PATIENCE)) as reply:
            body = bytearray()
            async for piece in reply.content.iter_any():
                body += piece
                if len(body) > _MAX_LIST:
                    raise ClusterError(f"the list of configmaps is over {_MAX_LIST} bytes")
        document = _document(bytes(body))
        items, version = document.get("items"), _version(document)
        if not isinstance(items, list | None) or not all(_name(item) for item in items or ()):
            raise ClusterError("expected a list of configmaps, got something else")
        return Listing({_name(item): item for item in items or ()}, version)

    async def watch(self, version: str) -> AsyncGenerator[Event, None]:
        timeout = aiohttp.ClientTimeout(total=_WATCH + _PATIENCE, sock_connect=_PATIENCE)
        options = {
            "watch": "true",  # the client would write a boolean as Python does
            "allow_watch_bookmarks": "true",
            "resource_version": version,
            "timeout_seconds": _WATCH,
        }
        async with self._get("watch", timeout, **options) as reply:
            while line := await reply.content.readline():
                event = _document(line)
                kind, changed = event.get("type"), event.get("object")
                if kind == "ERROR":
                    said = changed if isinstance(changed, dict) else {}
                    raise _error("watch", self._namespace, said.get("code", 0), said)
                if not isinstance(changed, dict) or not (kind == "BOOKMARK" or _name(changed)):
                    raise ClusterError("expected an event about a configmap, got something else")
                yield Event(str(kind), _name(changed), changed, _version(changed))

    @asynccontextmanager
    async def _get(self, verb: str, timeout: aiohttp.ClientTimeout, **options: object) -> AsyncIterator[Any]:
        ask: Any = self._api.list_namespaced_config_map  # gives aiohttp's reply, where it is not to decode it
        try:
            reply = await ask(
                self._namespace,
                label_selector=f"{LABEL}={CONTROLLER_PLUGIN}",
                _preload_content=False,
                _request_timeout=timeout,
                **options,
            )
            async with reply:
                if reply.status != 200:
                    raise _error(verb, self._namespace, reply.status, await _status(reply))
                yield reply
        except TimeoutError as error:
            raise ClusterError(f"cannot {verb} configmaps in namespace {self._namespace}: no answer in time") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            raise ClusterError(f"cannot {verb} configmaps in namespace {self._namespace}: {said}") from error


async def _status(reply: aiohttp.ClientResponse) -> Mapping[str, Any]:
    """What a refusal says; nothing where it is none of Kubernetes'."""
    try:
        return _document(await reply.content.read(64 * 1024))
    except ClusterError:
        return {}


def _error(verb: str, namespace: str, code: int, status: Mapping[str, Any]) -> ClusterError:
    said = str(status.get("message") or f"status {code}")[:500]
    if code == 410:
        return Gone(said)
    if code == 403:
        return ClusterError(f"not allowed to {verb} configmaps in namespace {namespace}, which a Role has to: {said}")
    return ClusterError(f"cannot {verb} configmaps in namespace {namespace}: {said}")


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ClusterError(f"expected JSON from the API server: {error}") from error
    if not isinstance(document, dict):
        raise ClusterError("expected a JSON object from the API server")
    return document


def _metadata(document: object) -> Mapping[str, Any]:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _name(document: object) -> str:
    return str(_metadata(document).get("name") or "")


def _version(document: object) -> str:
    return str(_metadata(document).get("resourceVersion") or "")
