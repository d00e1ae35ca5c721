"""sprig's encodings: base64 and base32, JSON, digests, paths and URLs."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from engine.expressions.builtins.conversions import decode64, encode64, encoded
from engine.expressions.errors import Invalid
from engine.expressions.gotext import from_json, go_json


def _base64_decode(text: str) -> str:
    # sprig gives the error's text as the result.
    try:
        return decode64(text)
    except Invalid as error:
        return str(error)


def _base32_encode(text: str) -> str:
    return base64.b32encode(encoded(text)).decode()


def _base32_decode(text: str) -> str:
    try:
        return base64.b32decode(text.replace("\n", "").replace("\r", "")).decode(errors="replace")
    except ValueError:
        return "illegal base32 data"


def _from_json(text: str) -> object:
    try:
        return from_json(text)
    except Invalid:
        return None


def _must_from_json(text: str) -> object:
    return from_json(text)


def _to_json(value: Any) -> str:
    return go_json(value)


def _to_pretty_json(value: Any) -> str:
    return go_json(value, indent=True)


def _to_raw_json(value: Any) -> str:
    return go_json(value, html=False)


def _digest(algorithm: str) -> Callable[..., object]:
    def function(text: str) -> str:
        return hashlib.new(algorithm, encoded(text), usedforsecurity=False).hexdigest()

    return function


def _adler32(text: str) -> str:
    return str(zlib.adler32(encoded(text)))


def _base(path: str) -> str:
    if not path:
        return "."
    return posixpath.basename(path.rstrip("/")) or "/"


def _directory(path: str) -> str:
    return _clean(path[: path.rfind("/") + 1])


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _extension(path: str) -> str:
    name = path[path.rfind("/") + 1 :]
    return name[name.rfind(".") :] if "." in name else ""


def _is_absolute(path: str) -> bool:
    return path.startswith("/")


def _parse_url(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        return {
            "scheme": parts.scheme,
            "host": host,
            "hostname": parts.hostname or "",
            "path": parts.path,
            "query": parts.query,
            "opaque": "",
            "fragment": parts.fragment,
            "userinfo": user,
        }
    except ValueError as error:
        raise Invalid(f"unable to parse url: {error}") from error


def _join_url(parts: Mapping[Any, Any]) -> str:
    text = {key: value if isinstance(value, str) else "" for key, value in parts.items()}
    user = f"{text['userinfo']}@" if text.get("userinfo") else ""
    netloc = user + text.get("host", "")
    return urlunsplit(
        (text.get("scheme", ""), netloc, text.get("path", ""), text.get("query", ""), text.get("fragment", ""))
    )


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "adler32sum": _adler32,
    "b32dec": _base32_decode,
    "b32enc": _base32_encode,
    "b64dec": _base64_decode,
    "b64enc": encode64,
    "base": _base,
    "clean": _clean,
    "dir": _directory,
    "ext": _extension,
    "fromJson": _from_json,
    "isAbs": _is_absolute,
    "mustFromJson": _must_from_json,
    "mustToJson": _to_json,
    "mustToPrettyJson": _to_pretty_json,
    "mustToRawJson": _to_raw_json,
    "osBase": _base,
    "osClean": _clean,
    "osDir": _directory,
    "osExt": _extension,
    "osIsAbs": _is_absolute,
    "sha1sum": _digest("sha1"),
    "sha256sum": _digest("sha256"),
    "sha512sum": _digest("sha512"),
    "toJson": _to_json,
    "toPrettyJson": _to_pretty_json,
    "toRawJson": _to_raw_json,
    "urlJoin": _join_url,
    "urlParse": _parse_url,
}
