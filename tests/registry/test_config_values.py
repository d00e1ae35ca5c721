"""What a right ``plugins.toml`` means, key by key."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import (
    BreakerSettings,
    Config,
    EngineSettings,
    PluginConfig,
    RetrySettings,
    Seconds,
    Token,
    load_config,
)

EVERY_KEY = """
[engine]
enabled = true
loop_deadline = "1h30m"

[[plugins]]
name = "hello"
address = "unix:///run/hello.sock"
protocol = "v1"
lane = "wire"
balance = "all"
timeout = "250ms"
concurrency = 8
max_body = 1_048_576
token_file = "secrets/token"
failure_policy = "ignore"
mode = "observe"
payload = "full"
retry = { attempts = 5, backoff = "10ms", max_backoff = "2s" }
breaker = { failure_ratio = 0.25, min_calls = 5, window = "1m", open_for = "500ms" }
"""


def test_the_defaults(toml: Callable[[str], Path]) -> None:
    file = toml('[[plugins]]\nname = "hello"\naddress = "http://localhost:4355"\n')
    hello = PluginConfig(
        name="hello",
        address="http://localhost:4355",
        protocol="auto",
        lane="auto",
        balance="first",
        timeout=Seconds(1),
        concurrency="adaptive",
        max_body=4 * 1024 * 1024,
        token=None,
        failure_policy="abort",
        mode="apply",
        payload="metadata",
        retry=RetrySettings(attempts=3, backoff=Seconds(0.05), max_backoff=Seconds(1)),
        breaker=BreakerSettings(failure_ratio=0.5, min_calls=20, window=Seconds(10), open_for=Seconds(5)),
    )
    engine = EngineSettings(enabled=False, loop_deadline=Seconds(30))
    assert load_config(file) == Config(engine=engine, plugins=(hello,), sources=(file,))


def test_every_key(toml: Callable[[str], Path], tmp_path: Path) -> None:
    token = tmp_path / "secrets" / "token"
    token.parent.mkdir()
    token.write_text("abc.DEF-123~/+==\n")
    file = toml(EVERY_KEY)
    hello = PluginConfig(
        name="hello",
        address="unix:///run/hello.sock",
        protocol="v1",
        lane="wire",
        balance="all",
        timeout=Seconds(0.25),
        concurrency=8,
        max_body=1048576,
        token=Token("abc.DEF-123~/+=="),
        failure_policy="ignore",
        mode="observe",
        payload="full",
        retry=RetrySettings(attempts=5, backoff=Seconds(0.01), max_backoff=Seconds(2)),
        breaker=BreakerSettings(failure_ratio=0.25, min_calls=5, window=Seconds(60), open_for=Seconds(0.5)),
    )
    engine = EngineSettings(enabled=True, loop_deadline=Seconds(5400))
    assert load_config(file) == Config(engine=engine, plugins=(hello,), sources=(file, token))


def test_plugins_keep_the_order_of_the_file(toml: Callable[[str], Path]) -> None:
    names = ["b", "a", "c"]
    file = toml("".join(f'[[plugins]]\nname = "{name}"\naddress = "http://{name}"\n' for name in names))
    assert [plugin.name for plugin in load_config(file).plugins] == names


def test_a_token_is_shown_by_nothing(toml: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    config = load_config(toml('[[plugins]]\nname = "a"\naddress = "http://h"\ntoken_file = "token"\n'))
    assert config.plugins[0].token == "s3cret"
    assert "s3cret" not in repr(config)


def test_names_of_files_start_from_the_folder_of_the_configuration(
    toml: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "token").write_text("abc")
    toml('[[plugins]]\nname = "a"\naddress = "http://h"\ntoken_file = "token"\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config("../plugins.toml").plugins[0].token == "abc"


def test_windows_line_ends_and_a_byte_order_mark_are_no_error(toml: Callable[[bytes], Path]) -> None:
    file = toml(b"\xef\xbb\xbf[engine]\r\nenabled = true\r\n")
    assert load_config(file).engine.enabled


UNITS = {"ns": 10**-9, "us": 10**-6, "µs": 10**-6, "ms": 10**-3, "s": 1, "m": 60, "h": 3600}


@given(
    st.lists(
        st.tuples(st.decimals(0, 1000, places=3, allow_nan=False).map(str), st.sampled_from(list(UNITS))),
        min_size=1,
        max_size=4,
    )
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[str, str]]) -> None:
    text = "".join(number + unit for number, unit in parts)
    total = float(sum(Fraction(number) * Fraction(str(UNITS[unit])) for number, unit in parts))
    # To the nanosecond, which is all that Go knows: each part is rounded to one.
    if total >= len(parts) * 1e-9:
        assert Seconds.parse(text) == pytest.approx(total, abs=len(parts) * 1e-9)
    elif not total:
        with pytest.raises(ValueError, match="greater than zero"):
            Seconds.parse(text)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_whatever_is_taken_for_a_duration_is_positive_and_finite(value: object) -> None:
    try:
        seconds = Seconds.parse(value)
    except ValueError:
        return
    assert isinstance(value, str)
    assert 0 < seconds < float("inf")


names = st.text(st.characters(categories=["L", "N"]) | st.sampled_from("-_.:/ [\"'\\"), min_size=1).filter(
    lambda name: name == name.strip()
)
durations = st.integers(1, 10**6)
configs = st.fixed_dictionaries(
    {"name": names, "address": st.sampled_from(["http://h:1", "https://h/base", "http://[::1]:80"])},
    optional={
        "protocol": st.sampled_from(["auto", "short", "go", "v1"]),
        "lane": st.sampled_from(["auto", "aiohttp"]),
        "balance": st.sampled_from(["first", "all"]),
        "timeout": durations,
        "concurrency": st.just("adaptive") | st.integers(1, 10**6),
        "max_body": st.integers(2, 2**40),
        "failure_policy": st.sampled_from(["abort", "ignore"]),
        "mode": st.sampled_from(["apply", "observe"]),
        "payload": st.sampled_from(["metadata", "full"]),
        "retry": st.fixed_dictionaries({}, optional={"attempts": st.integers(1, 99)}),
        "breaker": st.fixed_dictionaries(
            {}, optional={"failure_ratio": st.floats(0, 1, exclude_min=True), "min_calls": st.integers(1, 10**6)}
        ),
    },
)


@given(st.lists(configs, max_size=4, unique_by=lambda plugin: plugin["name"]))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, plugins: list[dict[str, Any]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "round-trip.toml"
    tables = ["engine = {}\n", *(f"[[plugins]]\n{_toml(plugin)}" for plugin in plugins)]
    file.write_text("".join(tables), "utf-8")
    assert load_config(file).plugins == tuple(_expected(plugin) for plugin in plugins)


def _toml(plugin: dict[str, Any]) -> str:
    lines = []
    for key, value in plugin.items():
        if isinstance(value, dict):
            text = f"{{ {', '.join(f'{k} = {v!r}' for k, v in value.items())} }}"
        else:
            text = json.dumps(f"{value}s" if key == "timeout" else value, ensure_ascii=False)
        lines.append(f"{key} = {text}\n")
    return "".join(lines)


def _expected(plugin: dict[str, Any]) -> PluginConfig:
    converted = dict(plugin)
    if "timeout" in plugin:
        converted["timeout"] = Seconds(plugin["timeout"])
    if "retry" in plugin:
        converted["retry"] = RetrySettings(**plugin["retry"])
    if "breaker" in plugin:
        converted["breaker"] = BreakerSettings(**plugin["breaker"])
    return PluginConfig(**converted)


@pytest.mark.parametrize(("older", "cache"), [("changed", "on"), ("always", "off"), ("auto", "auto")])
def test_the_older_names_of_the_cache_are_understood(older: str, cache: str, toml: Callable[[str], Path]) -> None:
    text = f'[[plugins]]\nname = "p"\naddress = "http://p"\nresend = "{older}"\nresend_after = "10m"\n'
    (plugin,) = load_config(toml(text)).plugins
    assert (plugin.cache, plugin.cache_ttl) == (cache, 600.0)
