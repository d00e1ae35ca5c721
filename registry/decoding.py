"""From a parsed document to the structs of `registry.config`, with errors that say where and what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec

from registry.config import FieldError, HeaderSettings, Seconds, TlsSettings, show
from registry.errors import ConfigError
from registry.secrets import warn_of_readers
from rpc import BadTls, Secret, Tls, Token

S = TypeVar("S", bound=msgspec.Struct)

_PLACED: Final = re.compile(r"(?P<text>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_KEY: Final = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<key>.*)`", re.DOTALL)


_CACHE: Final = {"changed": "on", "always": "off", "auto": "auto"}


def _cache(value: object) -> str:
    if not isinstance(value, str) or value not in _CACHE:
        raise ValueError(f"expected one of {', '.join(_CACHE)}, got {show(value)}")
    return _CACHE[value]


def _ttl(value: object) -> object:
    Seconds.parse(value)  # read with all the rest, and looked at here, where it is known what it was called
    return value


_OLDER: Final[dict[str, tuple[str, Callable[[object], object]]]] = {
    "resend": ("cache", _cache),
    "resend_after": ("cache_ttl", _ttl),
}
"""Keys of a plugin that have a better name by now, and what their values are. Those raise `ValueError`."""


def renamed(plugin: dict[str, Any], *, file: Path, at: str) -> dict[str, Any]:
    """The table of a plugin with the names of today. Raises `ConfigError` for an older key, which it names as it is."""
    plugin = dict(plugin)
    for older, (key, read) in _OLDER.items():
        if older not in plugin:
            continue
        value = plugin.pop(older)
        if key in plugin:
            raise ConfigError(file, _join(at, older), f"expected {key} alone, which has the same meaning, got both")
        try:
            plugin[key] = read(value)
        except ValueError as error:
            raise ConfigError(file, _join(at, older), str(error)) from None
    return plugin


def decode(
    document: object,
    into: type[S],
    *,
    file: Path,
    at: str = "",
    lax: bool = False,
    known: Collection[Tls] = (),
    looked_at: Callable[[Path], object] = bool,
) -> S:
    """`document`, found in `file` at the key path `at`, as a struct.

    Relative names of other files in it are taken from `file`'s folder. `lax` reads numbers and booleans from strings,
    for documents whose values can only be strings. `known` is what is in force of TLS. `looked_at` is told of each of
    these files before it is read. Raises `ConfigError`.
    """
    try:
        return msgspec.convert(document, into, strict=not lax, dec_hook=_hook(file.parent, known, looked_at))
    except msgspec.ValidationError as error:
        place, reason = _explain(error, document, into)
        raise ConfigError(file, _join(at, place), reason) from None


def _hook(
    folder: Path, known: Collection[Tls], looked_at: Callable[[Path], object]
) -> Callable[[type, object], object]:
    def hook(type_: type, value: object) -> object:
        if type_ is Seconds:
            return Seconds.parse(value)
        if type_ is Tls:
            return _tls(_convert(value, TlsSettings), folder, known, looked_at)
        if type_ is Secret:
            if not isinstance(value, dict):  # a value itself would be read by whoever reads the configuration
                raise ValueError('expected the name of a file, as in { "X-Api-Key" = { file = "key" } }')
            return _read(Secret, folder / _convert(value, HeaderSettings).file, looked_at)
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected the name of a file, got {show(value)}")
        assert type_ is Token
        return _read(Token, folder / value, looked_at)

    return hook


def _read(kind: type[Secret], file: Path, looked_at: Callable[[Path], object]) -> Secret:
    looked_at(file)
    secret = kind.read(file)
    warn_of_readers(file)
    return secret


def _tls(settings: TlsSettings, folder: Path, known: Collection[Tls], looked_at: Callable[[Path], object]) -> Tls:
    for file in settings.files(folder).values():
        looked_at(file)
    try:
        tls = settings.read(folder, known)
    except BadTls as error:
        raise FieldError(error.field, error.reason) from None
    for key in ("key_file", "key_password_file"):
        if key in tls.files:
            warn_of_readers(tls.files[key])
    return tls


def _convert(value: object, into: type[S]) -> S:
    """A table within one, which becomes something else. Raises `FieldError`."""
    try:
        return msgspec.convert(value, into)
    except msgspec.ValidationError as error:
        place, reason = _explain(error, value, into)
        if not place:
            raise ValueError(reason) from None
        raise FieldError(place, reason) from None


def _explain(error: msgspec.ValidationError, document: object, into: type[msgspec.Struct]) -> tuple[str, str]:
    """The place and the reason. msgspec's text has the place; its reasons are in terms of Python and are replaced."""
    match = _PLACED.fullmatch(str(error))
    assert match is not None
    path = (match["path"] or "").replace("[...]", "")
    if isinstance(error.__cause__, FieldError):
        return _join(path, error.__cause__.field), error.__cause__.reason
    if error.__cause__ is not None:
        return path, str(error.__cause__)
    if key := _KEY.fullmatch(match["text"]):
        place = _join(path, _quoted(key["key"]))
        if key["what"] == "contains unknown":
            known = [field.encode_name for field in msgspec.structs.fields(_bare(_hint_at(path, into)))]
            return place, unknown_key(key["key"], known)
        return place, f"expected {_expected(place, into)}, got nothing"
    return path, f"expected {_expected(path, into)}, got {show(_value_at(path, document))}"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The reason given for a key that is none of `known`."""
    if close := difflib.get_close_matches(key, known, 1):
        return f"unknown key, did you mean {close[0]}?"
    return f"unknown key, expected one of {', '.join(known)}"


def _steps(path: str) -> list[str | int]:
    return [int(index) if index else key for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def _value_at(path: str, document: Any) -> object:
    for step in _steps(path):
        document = document[step]
    return document


def _expected(path: str, struct: type[msgspec.Struct]) -> str:
    """The description of the field at `path`, or that of the list that it is an item of."""
    hint = _hint_at(path, struct)
    return next((str(meta.description) for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta)), "a table")


def _hint_at(path: str, struct: type[msgspec.Struct]) -> Any:
    hint: Any = struct
    for step in _steps(path):
        if isinstance(step, int):
            hint = get_args(_bare(hint))[0]
        else:
            hint = next(f.type for f in msgspec.structs.fields(_bare(hint)) if f.encode_name == step)
    return hint


def _bare(hint: Any) -> Any:
    """The type itself, without its description or the None that it may be instead."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return get_args(hint)[0] if get_origin(hint) is UnionType else hint


def _quoted(key: str) -> str:
    """A key as TOML would have it: bare where it may be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else show(key)


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)
