"""Secrets are found by what they are called, by how they look, and where they are known."""

from __future__ import annotations

import orjson
import pytest

from engine.recording.secrets import Secrets
from rpc.credentials import HIDDEN


@pytest.mark.parametrize(
    ("document", "left"),
    [
        ({"Authorization": "x"}, {"Authorization": HIDDEN}),
        (
            {"headers": [{"name": "authorization", "value": "x"}]},
            {"headers": [{"name": "authorization", "value": HIDDEN}]},
        ),
        ({"name": "DB_PASSWORD", "value": "x"}, {"name": "DB_PASSWORD", "value": HIDDEN}),
        ({"name": "apiKey", "default": 12}, {"name": "apiKey", "default": HIDDEN}),
        ({"clientSecret": ["x", {"y": "z"}]}, {"clientSecret": [HIDDEN, {"y": "z"}]}),
        ("curl -H 'Authorization: Basic eHg6eXk='", f"curl -H 'Authorization: Basic {HIDDEN}'"),
        ("Bearer abc.def-ghi", f"Bearer {HIDDEN}"),
        ("https://me:x@host/path", f"https://me:{HIDDEN}@host/path"),
        ("so the known one is hidden", f"so the {HIDDEN} is hidden"),
        ({"known one": 1}, {HIDDEN: 1}),
    ],
)
def test_what_is_a_secret_is_left_out(document: object, left: object) -> None:
    secrets = Secrets()
    secrets.add(["known one", ""])
    assert secrets.without(orjson.dumps(document)) == (orjson.dumps(left), True)


@pytest.mark.parametrize(
    "document",
    [
        {"secretKeyRef": {"name": "db", "key": "password"}},
        {"imagePullSecrets": [{"name": "registry"}]},
        {"secretName": "db", "tokenizer": "words", "password": "", "token": None},
        {"name": "get-token", "template": "get"},
        "https://host:80/a@b",
        "a bear and its honey",
    ],
)
def test_what_is_none_is_left_alone(document: object) -> None:
    assert Secrets().without(orjson.dumps(document)) == (orjson.dumps(document), False)


def test_what_is_nested_too_deep_to_be_looked_at_is_left_out() -> None:
    assert Secrets().without(b'{"token":' + b"[" * 900 + b"]" * 900 + b"}") == (orjson.dumps(HIDDEN), True)
