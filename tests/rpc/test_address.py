"""Plugin addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("http://localhost:4355", Address("http", "localhost", 4355), "localhost:4355"),
        ("http://localhost/", Address("http", "localhost", 80), "localhost"),
        ("https://plugins.example", Address("https", "plugins.example", 443), "plugins.example"),
        ("http://[::1]:80", Address("http", "::1", 80), "[::1]"),
        ("http://h:1/a/b/", Address("http", "h", 1, prefix="/a/b"), "h:1"),
        ("http://my_plugin.local.:8080", Address("http", "my_plugin.local.", 8080), "my_plugin.local.:8080"),
        (
            "https://xn--bcher-kva.example/a%20b",
            Address("https", "xn--bcher-kva.example", 443, prefix="/a%20b"),
            "xn--bcher-kva.example",
        ),
        ("unix:///run/\u00fc.sock", Address("unix", socket="/run/\u00fc.sock"), "localhost"),
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
        "http://[::1]x",
        "http://a[::1]",
        "http://[v1.x]",
        "http://[fe80::1%25eth0]",
        "http://[fe80::1%eth0]:80",
        "http://a%20b",
        "http://b\u00fccher.example",
        "http://h/stra\u00dfe",
        "https://h/\U0001f6a3",
        "http://a..b",
        "http://.a",
        "http://" + "a" * 64,
        "http://" + "a." * 127 + "a",
        'http://a"b',
        "http://a\\b",
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


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.text(max_size=12))
def test_what_is_taken_can_be_sent(host: str, path: str) -> None:
    try:
        address = parse_address(f"http://{host}/{path}")
    except ValueError:
        return
    assert address.origin.isascii()
    assert address.prefix.isascii()
    assert address.host.encode("idna")
    assert parse_address(str(address)) == address
