"""Authorities, and plugins that have certificates of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from registry.logs import configure_logs
from rpc import renewal
from tests.security.servers import SecureServer, serving


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@pytest.fixture
def serve() -> Iterator[Callable[..., SecureServer]]:
    with ExitStack() as stack:

        def serve(*args: Any) -> SecureServer:
            return stack.enter_context(serving(*args))

        yield serve


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other credentials are not waited for as long."""
    monkeypatch.setattr(renewal, "WAIT", 0.2)


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    configure_logs()
    return lambda: capsys.readouterr().err
