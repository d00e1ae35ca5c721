"""TLS with one plugin: whom to trust, and how to prove who we are."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Final, Literal

from rpc.address import parse_address

MinVersion = Literal["1.2", "1.3"]

_PROTOCOL: Final = "http/1.1"
_MAX_BYTES: Final = 4 * 1024 * 1024
_SETTLING: Final = 3
"""How often files are read that are being replaced meanwhile, until they are taken as they are."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_TAKES_OURS_NOT: Final = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED"
    r"|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|HANDSHAKE_FAILURE)"
)
# X509_V_ERR_... of OpenSSL.
_WHY: Final = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "unknown issuer",
    19: "unknown issuer",
    20: "unknown issuer",
    21: "unknown issuer",
    62: "wrong name",
    64: "wrong name",
}


class BadTls(ValueError):
    """Settings or files that cannot be used; ``field`` is the setting to complain about."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Tls:
    """What TLS with one plugin goes by. Reads its files, all in PEM, and checks them; raises `BadTls`, a `ValueError`.

    ``ca_file`` has the certificates of those who may have signed the plugin's, instead of the system's; ``cert_file``
    our own, and those of who signed it, for a plugin that asks for it; ``key_file`` its key, by default in the same
    file, and ``key_password_file`` what that is encrypted with. ``server_name`` is the name that the plugin's
    certificate must be for, where that is not the address's. With ``verify`` false anybody may be the plugin.
    Two are equal if their settings and what is in their files are. ``clock`` is for certificates' dates.
    """

    def __init__(
        self,
        *,
        ca_file: str | PathLike[str] | None = None,
        cert_file: str | PathLike[str] | None = None,
        key_file: str | PathLike[str] | None = None,
        key_password_file: str | PathLike[str] | None = None,
        server_name: str | None = None,
        min_version: MinVersion = "1.2",
        verify: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if min_version not in _VERSIONS:
            raise BadTls("min_version", f'expected "1.2" or "1.3", got {min_version!r}')
        if server_name is not None and not _is_name(server_name):
            raise BadTls("server_name", f"expected the name of a host, or its IP address, got {server_name!r}")
        if cert_file is None and (key_file is not None or key_password_file is not None):
            raise BadTls("cert_file", "expected the certificate that the key is for")
        given = {
            "ca_file": ca_file,
            "cert_file": cert_file,
            "key_file": key_file,
            "key_password_file": key_password_file,
        }
        self.files: Mapping[str, Path] = {field: Path(file) for field, file in given.items() if file is not None}
        self.server_name = server_name
        self.min_version = min_version
        self.verify = verify
        self._clock = clock
        self._ends: dict[str, float] = {}
        """Until when what is in a file is valid, in seconds since the epoch."""
        for _ in range(_SETTLING):
            contents = self._read()
            self._digests = _digests(contents)
            self.context = self._make_context(contents)
            if _digests(self._read()) == self._digests:
                break

    def again(self) -> Tls:
        """The same as its files are now: itself where they have not changed, also where they have expired since.

        Raises `BadTls`.
        """
        if not self.files or _digests(self._read()) == self._digests:
            return self
        return Tls(
            **self.files,
            server_name=self.server_name,
            min_version=self.min_version,
            verify=self.verify,
            clock=self._clock,
        )

    def name(self, host: str) -> str:
        """The name that the certificate must be for, of a plugin at that `host`, which may have DNS's last dot."""
        return self.server_name or host.rstrip(".")

    def failure(self, error: OSError) -> str:
        """What failed in a handshake, in one line, told from a plugin that is down."""
        shown = "cert_file" in self.files
        if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
            # As servers on Python's asyncio do, whatever they have against us.
            blamed = "does not take our client certificate" if shown else "asks for a client certificate"
            return f"the plugin hung up in the handshake; perhaps it {blamed}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{_WHY.get(error.verify_code, 'the certificate cannot be trusted')}: {error.verify_message}"
        reason = error.reason or str(error)
        if _TAKES_OURS_NOT.search(reason):
            said = reason.partition("ALERT_")[2].replace("_", " ").lower()
            if shown:
                return f"the plugin does not take our client certificate: {said}"
            # In TLS 1.2 that is what is said to who has none, and to who has no cipher in common.
            perhaps = ", perhaps" if "HANDSHAKE" in reason else ""
            return f"a client certificate is asked for{perhaps}: {said}"
        if "ALERT_PROTOCOL_VERSION" in reason or reason in ("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"):
            return "no version of TLS that both take"
        if "no application protocol" in reason:  # which Python knows by no name
            return f"the plugin does not take {_PROTOCOL}, which is all that is offered by ALPN"
        if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            return "what answers does not speak TLS"
        return reason.replace("_", " ").lower() if reason.isupper() else reason

    def check_dates(self) -> None:
        """Raise `BadTls` where what was read has expired since."""
        for field, end in self._ends.items():
            if end < self._clock():
                file = self.files[field]
                raise BadTls(field, f"expected a certificate that is valid in {file}, it expired on {_date(end)}")

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Tls) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return tuple(self.files.items()), self._digests, self.server_name, self.min_version, self.verify

    def __repr__(self) -> str:
        files = "".join(f"{field}={str(file)!r}, " for field, file in self.files.items())
        return f"Tls({files}server_name={self.server_name!r}, min_version={self.min_version!r}, verify={self.verify!r})"

    def _read(self) -> dict[str, bytes]:
        return {field: _content(field, file) for field, file in self.files.items()}

    def _make_context(self, contents: Mapping[str, bytes]) -> ssl.SSLContext:
        authorities = self._authorities(contents["ca_file"]) if "ca_file" in contents else None
        context = ssl.create_default_context(cadata=authorities)
        context.minimum_version = _VERSIONS[self.min_version]
        context.set_alpn_protocols([_PROTOCOL])
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if "cert_file" in contents:
            self._prove(context, contents)
        return context

    def _authorities(self, content: bytes) -> str:
        self._ends["ca_file"] = max(end for _, end in self._validities("ca_file", content))
        self.check_dates()
        return b"\n".join(_PEM.findall(content)).decode("ascii")

    def _prove(self, context: ssl.SSLContext, contents: Mapping[str, bytes]) -> None:
        """Have `context` show our certificate. Raises `BadTls`."""
        certificate = self.files["cert_file"]
        begin, self._ends["cert_file"] = self._validities("cert_file", contents["cert_file"])[0]
        self.check_dates()
        if self._clock() < begin:
            said = f"it begins on {_date(begin)}"
            raise BadTls("cert_file", f"expected a certificate that is valid in {certificate}, {said}")
        field = "key_file" if "key_file" in contents else "cert_file"
        key = self.files[field]
        if b"PRIVATE KEY-----" not in contents[field]:
            raise BadTls("key_file", f"expected a private key in {key}, got none")
        password = contents.get("key_password_file")
        if b"ENCRYPTED" in contents[field] and password is None:
            raise BadTls("key_password_file", f"expected a file with the password of {key}, which is encrypted")
        try:
            # Never without a password: OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password=(password or b"").strip(b"\r\n"))
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None)
            if reason == "KEY_VALUES_MISMATCH":
                raise BadTls(field, f"the key in {key} does not fit the certificate in {certificate}") from None
            if password is not None:
                file = self.files["key_password_file"]
                raise BadTls("key_password_file", f"the password in {file} does not open the key in {key}") from None
            if isinstance(error, ssl.SSLError) and reason is None:  # "[SSL] PEM lib", where it ends too early
                reason = "there is none in it that can be read"
            raise BadTls(field, f"cannot use the key in {key}: {reason or error}") from None

    def _validities(self, field: str, content: bytes) -> list[tuple[float, float]]:
        """From when to when each certificate in a file is valid. Raises `BadTls`."""
        file = self.files[field]
        found = _PEM.findall(content)
        if not found:
            raise BadTls(field, f"expected a certificate in PEM in {file}, got none")
        try:
            ssl.create_default_context(cadata=b"\n".join(found).decode("ascii"))
            return [_validity(ssl.PEM_cert_to_DER_cert(each.decode("ascii"))) for each in found]
        except (ssl.SSLError, ValueError, LookupError, StopIteration):
            raise BadTls(field, f"expected certificates in PEM in {file}, got one that cannot be read") from None


def foreign_protocol(spoken: ssl.SSLObject) -> str | None:
    """Why the protocol that was chosen by ALPN (RFC 7301) is none that we speak; a plugin need not choose any."""
    chosen = spoken.selected_alpn_protocol()
    if chosen in (None, _PROTOCOL):
        return None
    return f"the plugin chose the protocol {chosen} by ALPN, and {_PROTOCOL} was offered"


def _content(field: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise BadTls(field, f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _MAX_BYTES:
        raise BadTls(field, f"expected at most {_MAX_BYTES >> 20} MiB in {file}")
    return content


def _digests(contents: Mapping[str, bytes]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(content).digest() for content in contents.values())


def _is_name(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        pass
    try:
        return parse_address(f"https://{name}").authority == name.lower()
    except ValueError:
        return False


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _validity(certificate: bytes) -> tuple[float, float]:
    """From when to when a certificate in DER is valid, in seconds since the epoch (RFC 5280, 4.1)."""
    _, signed = next(_parts(certificate))
    _, body = next(_parts(signed))
    # Serial number, algorithm, issuer, validity; before them a version, where it is not the first.
    validity = [value for tag, value in _parts(body) if tag != 0xA0][3]
    begin, end = (_time(tag, value) for tag, value in _parts(validity))
    return begin, end


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and values that follow each other (X.690, 8.1)."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            more = size & 0x7F
            size = int.from_bytes(der[at : at + more])
            at += more
        yield tag, der[at : at + size]
        at += size


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == 0x17:  # UTCTime has two digits of a year from 1950 to 2049
        text = ("19" if text[0] >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
