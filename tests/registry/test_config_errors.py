"""Every way to get ``plugins.toml`` wrong is one line that names the file, the place, and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Config, ConfigError, PluginConfig, load_config

HELLO = '[[plugins]]\nname = "hello"\naddress = "http://localhost:4355"\n'
DURATION = 'expected a duration in quotes, such as "500ms", "2m" or "1h30m", got'
PLUGIN_KEYS = (
    "name, address, protocol, lane, balance, timeout, concurrency, not_found_ttl, max_body, token_file, headers, "
    "tls, failure_policy, mode, payload, cache, cache_ttl, match, batch, retry, breaker"
)


def line(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert "\n" not in str(caught.value)
    prefix = f"{file}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected [engine], [[plugins]] or configmaps, got an empty file"),
        ("# nothing yet\n", "expected [engine], [[plugins]] or configmaps, got an empty file"),
        ("[engine]\nenabled = maybe\n", "line 2, column 11: not TOML: Invalid value"),
        ("[engine]\nenabled", "line 2, column 8: not TOML: Expected '=' after a key in a key/value pair"),
        ("a = " + "[" * 5000, "not TOML that can be read: nested too deeply"),
        (b"[engine]\n# \xff\n", "line 2: expected UTF-8, got the byte 0xff"),
    ],
    ids=["empty", "comments-only", "syntax", "half-written", "deep", "bad-utf-8"],
)
def test_text_that_is_no_configuration(toml: Callable[[str | bytes], Path], text: str | bytes, expected: str) -> None:
    assert line(toml(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plugin = 1", "plugin: unknown key, did you mean plugins?"),
        ("colour = 1", "colour: unknown key, expected one of engine, plugins, configmaps, kubernetes"),
        ('"a\\nb" = 1', '"a\\nb": unknown key, expected one of engine, plugins, configmaps, kubernetes'),
        ("engine = true", "engine: expected a table, [engine], got true"),
        ("[engine]\nenabled = 1", "engine.enabled: expected true or false, got 1"),
        ("[engine]\nloop_deadline = inf", f"engine.loop_deadline: {DURATION} inf"),
        ("[engine]\nspeed = 9", "engine.speed: unknown key, expected one of enabled, loop_deadline, allowed_addresses"),
        (
            "[engine]\nallowed_addresses = []",
            "engine.allowed_addresses: expected one address or more, got an empty array",
        ),
        (
            '[engine]\nallowed_addresses = "localhost"',
            'engine.allowed_addresses: expected an array such as ["localhost", "10.0.0.0/8", "*.svc"], got "localhost"',
        ),
        (
            "[engine]\nallowed_addresses = [8]",
            "engine.allowed_addresses[0]: expected an IP address, "
            'a network such as "10.0.0.0/8", or a name or a glob, got 8',
        ),
        (
            '[engine]\nallowed_addresses = ["localhost", "10.0.0.1/8"]',
            "engine.allowed_addresses[1]: expected the address of a network, such as 10.0.0.0/8, got 10.0.0.1/8",
        ),
        ("plugins = 1", "plugins: expected tables, each under [[plugins]], got 1"),
        ('[plugins]\nname = "x"', "plugins: expected tables, each under [[plugins]], got a table"),
        ("plugins = [1]", "plugins[0]: expected a table, got 1"),
        ('configmaps = "manifests"', 'configmaps: expected an array of names of files and folders, got "manifests"'),
        ("configmaps = [1]", "configmaps[0]: expected the name of a file or folder, got 1"),
        ('configmaps = [""]', 'configmaps[0]: expected the name of a file or folder, got ""'),
    ],
)
def test_tables_that_are_wrong(toml: Callable[[str | bytes], Path], text: str, expected: str) -> None:
    assert line(toml(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timout = '1s'", "timout: unknown key, did you mean timeout?"),
        ("colour = 1", f"colour: unknown key, expected one of {PLUGIN_KEYS}"),
        ("resend = 'sometimes'", 'resend: expected one of changed, always, auto, got "sometimes"'),
        ("resend_after = '0s'", 'resend_after: expected a duration greater than zero, got "0s"'),
        ("resend_after = [1]", f"resend_after: {DURATION} an array"),
        ("resend_after = {a = 1}", f"resend_after: {DURATION} a table"),
        ("resend = 'always'\ncache = 'off'", "resend: expected cache alone, which has the same meaning, got both"),
        ("timeout = 1", f"timeout: {DURATION} 1"),
        ("timeout = nan", f"timeout: {DURATION} nan"),
        ("timeout = '0s'", 'timeout: expected a duration greater than zero, got "0s"'),
        ("timeout = '-1s'", "timeout: '-1s' is not a duration such as 500ms, 2m or 1h30m"),
        ("timeout = 'inf'", "timeout: 'inf' is not a duration such as 500ms, 2m or 1h30m"),
        ("timeout = '1 s'", "timeout: '1 s' is not a duration such as 500ms, 2m or 1h30m"),
        ("timeout = '3000000h'", "timeout: '3000000h' is longer than 292 years"),
        ("protocol = 'v2'", 'protocol: expected "auto", "short", "go" or "v1", got "v2"'),
        ("protocol = 1979-05-27", 'protocol: expected "auto", "short", "go" or "v1", got 1979-05-27'),
        ("balance = 'none'", 'balance: expected "first" or "all", got "none"'),
        ("balance = true", 'balance: expected "first" or "all", got true'),
        ("lane = 'fast'", 'lane: expected "auto", "aiohttp" or "wire", got "fast"'),
        ("failure_policy = 'fail'", 'failure_policy: expected "abort" or "ignore", got "fail"'),
        ("mode = ['apply']", 'mode: expected "apply" or "observe", got an array'),
        ("payload = {}", 'payload: expected "metadata" or "full", got a table'),
        ("concurrency = 0", 'concurrency: expected "adaptive" or a whole number, 1 or more, got 0'),
        ("concurrency = 'lots'", 'concurrency: expected "adaptive" or a whole number, 1 or more, got "lots"'),
        ("concurrency = 1.5", 'concurrency: expected "adaptive" or a whole number, 1 or more, got 1.5'),
        ("max_body = 0", "max_body: expected a number of bytes, 2 or more, got 0"),
        ("max_body = '4MiB'", 'max_body: expected a number of bytes, 2 or more, got "4MiB"'),
        ("token_file = ''", 'token_file: expected the name of a file, got ""'),
        ("token_file = 7", "token_file: expected the name of a file, got 7"),
        (
            "match = { methods = ['node.*', 'nodes.*'] }",
            'match.methods: expected names of methods, such as "node.*", got "nodes.*"',
        ),
        ("match = { types = ['pod'] }", 'match.types: expected names of types, such as "Pod", got "pod"'),
        ("match = { phases = ['Done'] }", 'match.phases: expected names of phases, such as "Running", got "Done"'),
        ("retry = 3", "retry: expected a table, got 3"),
        ("retry = { attempts = 0 }", "retry.attempts: expected a whole number, 1 or more, got 0"),
        ("retry = { tries = 3 }", "retry.tries: unknown key, expected one of attempts, backoff, max_backoff"),
        ("retry = { backoff = '2s' }", "retry.max_backoff: expected at least backoff (2s), got 1s"),
        ("breaker = false", "breaker: expected a table, got false"),
        (
            "breaker = { failure_ratio = 0 }",
            "breaker.failure_ratio: expected a number above 0, 1 at most, got 0",
        ),
        (
            "breaker = { failure_ratio = nan }",
            "breaker.failure_ratio: expected a number above 0, 1 at most, got nan",
        ),
        ("breaker = { min_calls = 0 }", "breaker.min_calls: expected a whole number, 1 or more, got 0"),
        ("breaker = { window = '0' }", 'breaker.window: expected a duration greater than zero, got "0"'),
        ("breaker = { open_for = 5 }", f"breaker.open_for: {DURATION} 5"),
    ],
)
def test_a_plugin_with_a_wrong_key_or_value(toml: Callable[[str | bytes], Path], text: str, expected: str) -> None:
    assert line(toml(f'{HELLO}[[plugins]]\nname = "b"\naddress = "http://b"\n{text}\n')) == f"plugins[1].{expected}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ftp://h", "'ftp://h' is not an http://, https:// or unix:/// address"),
        ("localhost:4355", "'localhost:4355' is not an http://, https:// or unix:/// address"),
        ("", "'' is not an http://, https:// or unix:/// address"),
        ("http://", "'http://' has no host"),
        ("http://h:0", "'http://h:0' has port 0"),
        ("http://h:65536", "'http://h:65536' is not a URL: Port out of range 0-65535"),
        ("http://h?a=b", "'http://h?a=b' must not have a query or a fragment"),
        ("http://me:secret@h", "credentials do not belong in an address; configure a token instead"),
        ("unix://run/x", "'unix://run/x' must name a socket by its absolute path, as in unix:///run/plugin.sock"),
        ("http://h\\r\\nX: y", "'http://h\\r\\nX: y' has blanks or control characters in it"),
    ],
)
def test_an_address_that_cannot_be(toml: Callable[[str | bytes], Path], address: str, expected: str) -> None:
    file = toml(f'[[plugins]]\nname = "x"\naddress = "{address}"\n')
    assert line(file) == f"plugins[0].address: {expected}"


@pytest.mark.parametrize("name", ["", " ", "a ", "a\\r\\nb", "a\\u0007", "a\\tb"])
def test_a_name_that_cannot_be(toml: Callable[[str | bytes], Path], name: str) -> None:
    file = toml(f'[[plugins]]\nname = "{name}"\naddress = "http://h"\n')
    expected = "expected a name with no control characters or blanks around it, got"
    assert line(file) == f'plugins[0].name: {expected} "{name}"'


def test_what_every_plugin_must_have(toml: Callable[[str | bytes], Path]) -> None:
    assert (
        line(toml('[[plugins]]\naddress = "http://h"\n'))
        == 'plugins[0].name: expected a name, such as "hello", got nothing'
    )
    assert (
        line(toml('[[plugins]]\nname = "x"\n'))
        == "plugins[0].address: expected an http://, https:// or unix:/// address, got nothing"
    )


def test_two_plugins_of_one_name(toml: Callable[[str | bytes], Path]) -> None:
    expected = 'plugins[1].name: expected a name of its own, "hello" is that of plugins[0].name'
    assert line(toml(HELLO + HELLO)) == expected


def test_two_plugins_of_one_name_are_refused_without_a_file_too() -> None:
    plugin = PluginConfig(name="hello", address="http://h")
    with pytest.raises(ValueError, match="two plugins have the same name: hello"):
        Config(plugins=(plugin, plugin))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert line(tmp_path / "none.toml") == "cannot be read: No such file or directory"


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert line(tmp_path) == "cannot be read: Is a directory"


def test_configmaps_that_are_not_there(toml: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    expected = f"configmaps[1]: cannot read {tmp_path / 'gone'}: No such file or directory"
    assert line(toml('configmaps = [".", "gone"]')) == expected


def test_a_long_value_is_cut(toml: Callable[[str | bytes], Path]) -> None:
    error = line(toml(f'{HELLO}mode = "{"x" * 1000}"'))
    assert error == f'plugins[0].mode: expected "apply" or "observe", got "{"x" * 59}..."'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "expected a token in {}, it is empty"),
        (b"two words", "expected a token in {}, got characters that a token cannot have"),
        (b"a\r\nX-Evil: 1", "expected a token in {}, got characters that a token cannot have"),
        (b"\xff\xfe", "expected a token in {}, got bytes that are not text"),
    ],
)
def test_a_token_file_without_a_token(
    toml: Callable[[str | bytes], Path], tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "token").write_bytes(content)
    assert line(toml(f'{HELLO}token_file = "token"')) == f"plugins[0].token_file: {why.format(tmp_path / 'token')}"


def test_a_name_that_is_no_line_is_shown_in_one(toml: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    expected = f"plugins[0].token_file: cannot read {tmp_path}/a\\n\\x1b[31m: No such file or directory"
    assert line(toml(f'{HELLO}token_file = "a\\n\\u001b[31m"')) == expected


def test_a_token_file_that_is_not_there(toml: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    expected = f"plugins[0].token_file: cannot read {tmp_path / 'token'}: No such file or directory"
    assert line(toml(f'{HELLO}token_file = "token"')) == expected
