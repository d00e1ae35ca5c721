"""Log lines of the standard library's `logging`, with fields: those of the call, and those that were bound before.

    _log = get_logger(__name__)
    _log.warning("pass aborted", workflow="default/w", retry_in="1s")

The message of the record is one line for people, ``pass aborted workflow=default/w retry_in=1s``, and each field is an
attribute of the record as well, for formatters that write JSON. Nothing is configured here: that is up to programs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from rpc.statuses import in_one_line

_OPTIONS: Final = ("exc_info", "stack_info", "stacklevel")
"""What `logging` takes by name and is no field."""

_ATTRIBUTES: Final = {"name": "plugin"}
"""Fields whose attribute has another name, since a record has one of theirs. Argo's lines call a plugin ``name``."""


class Event:
    """A message that knows its fields: `text` says what happened, and is always the same."""

    __slots__ = ("fields", "text")

    def __init__(self, text: str, fields: Mapping[str, object]) -> None:
        self.text = text
        self.fields = fields

    def __str__(self) -> str:
        return in_one_line(self.text) + "".join(f" {logfmt(name, value)}" for name, value in self.fields.items())


class Logger(logging.LoggerAdapter[logging.Logger]):
    """Takes the fields of a line by name: ``error("it broke", node="a")``. The text takes no ``%`` arguments."""

    def bind(self, **fields: object) -> Logger:
        """One whose lines have these fields, too."""
        return Logger(self.logger, {**(self.extra or {}), **fields})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """For `logging`: what becomes of a call's arguments."""
        options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
        fields = {**(self.extra or {}), **(kwargs.pop("extra", None) or {}), **kwargs}
        options["extra"] = {_ATTRIBUTES.get(name, name): value for name, value in fields.items()}
        return Event(str(msg), fields), options


def get_logger(name: str) -> Logger:
    """The logger that `logging` has by this name, for lines with fields."""
    return Logger(logging.getLogger(name), {})


def logfmt(name: str, value: object) -> str:
    """``name=value``, in one line and quoted where it needs to be; what could steer a terminal is escaped."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if any(character in text for character in ' ="'):
        text = '"' + text.replace('"', '\\"') + '"'
    return f"{name}={in_one_line(text)}"
