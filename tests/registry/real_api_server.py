"""The real API server over an etcd of its own, where both are on the PATH."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from tests import ports
from tests.processes import started_here
from tests.registry.api_server import configmap, write_kubeconfig

TOKEN = "a-token"


class RealApiServer:
    """ConfigMaps of the namespace ``argo``."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._configmaps = f"{address}/api/v1/namespaces/argo/configmaps"

    async def put(self, name: str, address: str) -> None:
        document = {"apiVersion": "v1", "kind": "ConfigMap", **configmap(name, address=address)}
        async with self._session.post(self._configmaps, json=document) as reply:
            assert reply.status == 201, await reply.text()

    async def delete(self, name: str) -> None:
        async with self._session.delete(f"{self._configmaps}/{name}") as reply:
            assert reply.status == 200, await reply.text()


@asynccontextmanager
async def real_api_server(folder: Path) -> AsyncIterator[RealApiServer]:
    key = folder / "account.pem"
    trustme.CA(key_type=trustme.KeyType.RSA).private_key_pem.write_to_path(str(key))
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    etcd, peer, api = ports.free(3)
    store, address = f"http://127.0.0.1:{etcd}", f"https://127.0.0.1:{api}"
    async with (
        started_here(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
        ),
        started_here(
            "kube-apiserver",
            f"--etcd-servers={store}",
            f"--secure-port={api}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://localhost",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        ),
    ):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=_unverified())) as session:
            await _ready(session, address)
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo"}}
            async with session.post(f"{address}/api/v1/namespaces", json=namespace) as reply:
                assert reply.status == 201, await reply.text()
            _write_kubeconfig(folder, address)
            yield RealApiServer(session, address)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _ready(session: aiohttp.ClientSession, address: str) -> None:
    async with asyncio.timeout(120):
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{address}/readyz") as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(0.2)


def _write_kubeconfig(folder: Path, address: str) -> None:
    file = write_kubeconfig(folder, address, TOKEN)
    document: dict[str, Any] = json.loads(file.read_text())
    document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    file.write_text(json.dumps(document))
