"""Files that people write are text in UTF-8; what is not says where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from registry.errors import ConfigError

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes in a file: Kubernetes has at most 1 MiB in a ConfigMap, and a file may list several."""


def read_text(file: Path) -> str:
    """All of `file`, line ends as ``\\n``. Raises `ConfigError`."""
    try:
        with file.open("rb") as opened:
            # Not by what stat says: it may be a pipe, or be written meanwhile.
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(file, "", f"expected at most {MAX_BYTES >> 20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, f"line {line}", f"expected UTF-8, got the byte 0x{raw[error.start]:02x}") from None
    return text.replace("\r\n", "\n")
