"""sprig's encodings: base64 and base32, JSON, digests, paths and URLs."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from engine.expressions.builtins.conversions import decode64, encode64, encoded
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.gotext import from_json, go_json


def _base64_decode(text: str) -> str:
    # sprig gives the error's text as the result.
    try:
        return decode64(text)
    except Invalid as error:
        return str(error)


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


def _digest(algorithm: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(algorithm, encoded(text), usedforsecurity=False).hexdigest()


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


FUNCTIONS: Final[Functions] = {
    "adler32sum(string)": lambda text: str(zlib.adler32(encoded(text))),
    "b32dec(string)": _base32_decode,
    "b32enc(string)": lambda text: base64.b32encode(encoded(text)).decode(),
    "b64dec(string)": _base64_decode,
    "b64enc(string)": encode64,
    "base|osBase(string)": _base,
    "clean|osClean(string)": _clean,
    "dir|osDir(string)": _directory,
    "ext|osExt(string)": _extension,
    "fromJson(string)": _from_json,
    "isAbs|osIsAbs(string)": lambda path: path.startswith("/"),
    "mustFromJson(string)": from_json,
    "sha1sum(string)": _digest("sha1"),
    "sha256sum(string)": _digest("sha256"),
    "sha512sum(string)": _digest("sha512"),
    "toJson|mustToJson(any)": go_json,
    "toPrettyJson|mustToPrettyJson(any)": partial(go_json, indent=True),
    "toRawJson|mustToRawJson(any)": partial(go_json, html=False),
    "urlJoin(map)": _join_url,
    "urlParse(string)": _parse_url,
}
