"""Files that people write are text in UTF-8; what is not says where it is not."""

from __future__ import annotations

from pathlib import Path

from registry.errors import ConfigError


def read_text(file: Path) -> str:
    """All of `file`, line ends as ``\\n``. Raises `ConfigError`."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, f"line {line}", f"expected UTF-8, got the byte 0x{raw[error.start]:02x}") from None
    return text.replace("\r\n", "\n")
