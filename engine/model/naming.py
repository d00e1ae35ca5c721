"""What Kubernetes lets an object be called, and the names that it makes up."""

from __future__ import annotations

import itertools
import re
import secrets
from typing import Final

DEFAULT: Final = "default"
"""The namespace of documents that name none."""

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAMESPACE: Final = re.compile(_LABEL)
_UID: Final = re.compile(r"[A-Za-z0-9][-.\w]*", re.ASCII)
_LONGEST_SUBDOMAIN: Final = 253
_LONGEST_LABEL: Final = 63
_LONGEST_UID: Final = 128

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes draws generated names from
_LETTERS: Final = 5
_LONGEST_PREFIX: Final = 58  # to which it cuts what stands before the letters
_SUFFIXES: Final = len(_ALPHABET) ** _LETTERS

# Kubernetes draws the letters, and lets the API server refuse a name that is there already. Here each is another one
# until there are no more, 14 million names on: a walk through all of them, from anywhere, in steps that no divisor of
# their number divides.
_START: Final = secrets.randbelow(_SUFFIXES)
_STEP: Final = 3 * secrets.randbelow(_SUFFIXES // 3) + 1
_numbers: Final = itertools.count()


class InvalidName(ValueError):
    """A name that Kubernetes would refuse: what was expected, and what there is."""


def check_name(name: str) -> None:
    """Raises `InvalidName` where it is no DNS-1123 subdomain."""
    if len(name) > _LONGEST_SUBDOMAIN or _SUBDOMAIN.fullmatch(name) is None:
        rule = "lower case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"
        raise InvalidName(f"expected a DNS-1123 subdomain of at most {_LONGEST_SUBDOMAIN} characters ({rule})"
                          f", got {_shown(name)}")  # fmt: skip


def check_namespace(namespace: str) -> None:
    """Raises `InvalidName` where it is no DNS-1123 label."""
    if len(namespace) > _LONGEST_LABEL or _NAMESPACE.fullmatch(namespace) is None:
        rule = "lower case letters, digits and '-', beginning and ending with a letter or digit"
        raise InvalidName(f"expected a DNS-1123 label of at most {_LONGEST_LABEL} characters ({rule})"
                          f", got {_shown(namespace)}")  # fmt: skip


def check_uid(uid: str) -> None:
    """Raises `InvalidName` for what could not be the name of a file or a part of a path. Kubernetes' are UUIDs."""
    if len(uid) > _LONGEST_UID or _UID.fullmatch(uid) is None:
        rule = f"at most {_LONGEST_UID} letters, digits, '-', '_' and '.', a letter or digit first"
        raise InvalidName(f"expected a UUID, or another identifier ({rule}), got {_shown(uid)}")


def generated_name(prefix: str) -> str:
    """A name for a `generateName`, each time another one, and others in another process.

    What Kubernetes would refuse for its upper case alone is written in lower case: nobody has to find it by its name.
    """
    number = (_START + next(_numbers) * _STEP) % _SUFFIXES
    letters = ""
    for _ in range(_LETTERS):
        number, letter = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[letter]
    return prefix[:_LONGEST_PREFIX].lower() + letters


def told(namespace: str, name: str) -> str:
    """``NAME``, and ``NAMESPACE/NAME`` outside of ``default``; what has no namespace is cluster-scoped."""
    return name if namespace in ("", DEFAULT) else f"{namespace}/{name}"


def _shown(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_SUBDOMAIN else f"{name[:40]}...")
