"""Where a plugin may be."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.destinations import ANYWHERE, Destinations, parse_rule

ALLOWED = ("localhost", "10.0.0.0/8", "fd12::/16", "*.plugins.svc", "audit.example.com")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "127.0.0.1"),
        ("localhost", "::1"),
        ("127.3.2.1", "127.3.2.1"),
        ("whoever.example.com", "10.1.2.3"),
        ("whoever.example.com", "fd12::1"),
        ("whoever.example.com", "::ffff:10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("hello.plugins.svc", "192.168.1.1"),
        ("HELLO.Plugins.Svc.", "192.168.1.1"),
        ("audit.example.com", "203.0.113.5"),
    ],
)
def test_what_an_entry_allows(host: str, address: str) -> None:
    assert Destinations(ALLOWED).refusal(host, address) is None
    assert Destinations(ALLOWED, discovered=True).refusal(host, address) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "192.168.1.1"),  # the name alone says nothing
        ("plugins.svc", "192.168.1.1"),
        ("hello.plugins.svc.example.com", "192.168.1.1"),
        ("evil-audit.example.com", "203.0.113.5"),
        ("8.8.8.8", "8.8.8.8"),
        ("134744072", "8.8.8.8"),
        ("0.0.0.0", "0.0.0.0"),
        ("hello.plugins.svc", "169.254.169.254"),
        ("audit.example.com", "fd00:ec2::254"),
    ],
)
def test_what_no_entry_allows(host: str, address: str) -> None:
    refusal = Destinations(ALLOWED).refusal(host, address)
    assert refusal is not None
    assert refusal.startswith(address)
    assert refusal.endswith(f"is not in allowed_addresses ({', '.join(ALLOWED)})")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::23",
        "168.63.129.16",
    ],
)
def test_where_credentials_are_handed_out_no_discovered_plugin_is(address: str) -> None:
    for allowed in (None, ("*",), ("*.example.com", "0.0.0.0/0", "::/0")):
        refusal = Destinations(allowed, discovered=True).refusal("rebound.example.com", address)
        assert refusal is not None
        assert refusal.startswith(f"{address}, which rebound.example.com stands for, is a ")
        assert refusal.endswith(", where no plugin that was discovered may be")
    assert ANYWHERE.refusal("by.hand", address) is None


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("169.254.10.0/24", "169.254.10.7"),
        ("169.254.10.0/24", "::ffff:169.254.10.7"),
        ("168.63.129.16", "168.63.129.16"),
        ("fe80::/64", "fe80::1%eth0"),
    ],
)
def test_an_entry_for_nothing_else_allows_such_an_address(entry: str, address: str) -> None:
    assert Destinations((entry,), discovered=True).refusal("plugin.example.com", address) is None


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "10.0.0.*", "1.2.3", "", "localhost:80", "http://h", "[::1]", "a b", "a..b", "10.0.0.0/33"]
)
def test_an_entry_that_is_none(entry: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        parse_rule(entry)


@given(st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_no_form_of_an_address_passes_that_another_does_not(special: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{special}")
    only = Destinations(("10.0.0.0/8", "*"), discovered=True)
    for text in (str(special), str(mapped), mapped.exploded, str(int(special)), hex(int(special))):
        assert only.refusal("h", text)
        assert only.refusal_unseen(text)
