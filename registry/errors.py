"""One error for everything a person can get wrong in a configuration."""

from __future__ import annotations

from pathlib import Path

from rpc.statuses import in_one_line


class ConfigError(Exception):
    """A configuration that cannot be used; its text is one line: ``plugins.toml: plugins[2].address: expected ...``.

    Attributes: ``file`` as it was named, ``path`` the place in it (a key path, a line and column, or both; empty where
    the file as a whole is meant), ``reason`` what was expected and what was found. ``sources`` are the files and
    folders that were looked at until then: a change of one may mend it.
    """

    sources: tuple[Path, ...] = ()

    def __init__(self, file: Path | str, path: str, reason: str) -> None:
        super().__init__(file, path, reason)
        self.file = Path(file)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return in_one_line(": ".join(part for part in (str(self.file), self.path, self.reason) if part))
