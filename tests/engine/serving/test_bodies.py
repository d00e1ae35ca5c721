"""A large body is read in pieces, as if it were read at once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.serving import requests

texts = st.text(alphabet=',[]{}"\\ a\u00e9\n', max_size=100)
values = st.recursive(
    st.none() | st.integers(-1000, 1000) | st.floats(-1, 1) | texts,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


def in_pieces(body: bytes) -> Any:
    found = list[Any]()
    for _ in requests._pieces(body, found.append):
        pass
    return found[0]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "AT_A_TIME", 40)


ANY_NUMBER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@ANY_NUMBER
@given(st.lists(values, max_size=20) | values, st.booleans())
@example(["x" * 200], False)
@example([1] * 40 + ["x" * 200, ",", "y" * 200], False)
def test_what_is_json_is_the_same(small_pieces: None, value: Any, plain: bool) -> None:
    assert in_pieces(json.dumps(value, ensure_ascii=plain).encode()) == value


@ANY_NUMBER
@given(st.lists(values, min_size=1, max_size=20), st.randoms(use_true_random=False), st.sampled_from(b',[]{}"x\\1 '))
def test_what_may_be_none_is_refused_alike(small_pieces: None, value: Any, random: Any, other: int) -> None:
    body = bytearray(json.dumps(value, indent=random.choice((None, 1))).encode())
    body[random.randrange(len(body))] = other
    try:
        wanted = msgspec.json.decode(body)
    except msgspec.DecodeError:
        with pytest.raises(msgspec.DecodeError):
            in_pieces(bytes(body))
    else:
        assert in_pieces(bytes(body)) == wanted


@pytest.mark.parametrize("body", [b"[" + b"," * 60 + b"1]", b"[" + b"1," * 60 + b"]", b"[1" + b" " * 60 + b",,1]"])
def test_commas_with_nothing_between_are_refused(small_pieces: None, body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        in_pieces(body)
