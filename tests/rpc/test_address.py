"""Plugin addresses."""

from __future__ import annotations

import pytest

from rpc.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("http://localhost:4355", Address("http", "localhost", 4355), "localhost:4355"),
        ("http://localhost/", Address("http", "localhost", 80), "localhost"),
        ("https://plugins.example", Address("https", "plugins.example", 443), "plugins.example"),
        ("http://[::1]:80", Address("http", "::1", 80), "[::1]"),
        ("http://h:1/a/b/", Address("http", "h", 1, prefix="/a/b"), "h:1"),
        ("unix:///run/p.sock", Address("unix", socket="/run/p.sock"), "localhost"),
    ],
)
def test_an_address_is_parsed(text: str, address: Address, authority: str) -> None:
    assert parse_address(text) == address
    assert address.authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:4355",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:99999",
        "http://h:x",
        "http://user:secret@h",
        "http://h/?a=b",
        "http://h/#x",
        "http://h?",
        "http://h\r\nX: y",
        "http://h/a b",
        "http://[::1",
        "unix://relative.sock",
        "unix:///",
        "unix:",
    ],
)
def test_a_bad_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="credentials") as caught:
        parse_address("http://user:secret@h")
    assert "secret" not in str(caught.value)
