"""nginx with TLS: before the servers that are called, or by itself."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.servers import Missing, free_port, run_nginx

_REQUEST: Final = (
    *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"),
    *("-subj", "/CN=oarlock bench", "-addext", "subjectAltName=IP:127.0.0.1"),
)


class Front(NamedTuple):
    """Where it is called: https addresses. ``ca_file`` has whom to trust there."""

    addresses: list[str]
    ca_file: Path


@contextmanager
def before(addresses: Sequence[str]) -> Iterator[Front]:
    """A front for other servers, with an address for each of theirs. Raises `Missing`."""
    port = free_port()
    behind, locations = [], []
    for number, address in enumerate(addresses):
        authority, _, path = address.removeprefix("http://").partition("/")
        behind.append(f"upstream behind-{number} {{ server {authority}; keepalive 64; }}")
        locations.append(f"location /{number}/ {{ proxy_pass http://behind-{number}/{path and path + '/'}; }}")
    proxying = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    with tempfile.TemporaryDirectory(prefix="oarlock-front-") as text:
        folder = Path(text)
        inside = f"{' '.join(behind)} {proxying} {_server(port, ' '.join(locations))}"
        certificate = _certify(folder)
        with run_nginx(inside, folder, port):
            yield Front([f"https://127.0.0.1:{port}/{number}" for number in range(len(addresses))], certificate)


@contextmanager
def alone() -> Iterator[Front]:
    """One that answers ``{}`` by itself. Raises `Missing`.

    It has four addresses: with and without TLS, and two that close after each reply, of which the second resumes no
    session.
    """
    ports = plain, secure, forgetful = free_port(), free_port(), free_port()
    kept = "location /kept/ { return 200 '{}'; }"
    once = "location /once/ { keepalive_timeout 0; return 200 '{}'; }"
    forgetting = "ssl_session_cache off; ssl_session_tickets off;"
    with tempfile.TemporaryDirectory(prefix="oarlock-front-") as text:
        folder = Path(text)
        inside = (
            f"server {{ listen 127.0.0.1:{plain} backlog=1024; {kept} }}"
            f" {_server(secure, kept + once)} {_server(forgetful, forgetting + once)}"
        )
        certificate = _certify(folder)
        with run_nginx(inside, folder, ports[-1]):
            yield Front(
                [
                    f"http://127.0.0.1:{plain}/kept",
                    f"https://127.0.0.1:{secure}/kept",
                    f"https://127.0.0.1:{secure}/once",
                    f"https://127.0.0.1:{forgetful}/once",
                ],
                certificate,
            )


def _server(port: int, inside: str) -> str:
    return (
        f"server {{ listen 127.0.0.1:{port} ssl backlog=1024;"
        f" ssl_certificate certificate.pem; ssl_certificate_key key.pem; ssl_protocols TLSv1.2 TLSv1.3; {inside} }}"
    )


def _certify(folder: Path) -> Path:
    """A key, and a certificate that is its own authority."""
    certificate = folder / "certificate.pem"
    command = [*_REQUEST, "-keyout", str(folder / "key.pem"), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        raise Missing("openssl, which makes certificates, is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Missing(f"openssl makes no certificate: {error.stderr.decode(errors='replace').strip()}") from None
    return certificate
