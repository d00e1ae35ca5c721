"""Log lines, exactly as they are written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from registry import Config, EngineSettings, PluginConfig, Registry
from registry.logs import configure_logs

HELLO = PluginConfig(name="hello-controller-plugin", address="http://localhost:4355")


async def test_the_lines_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    async with Registry(Config(engine=EngineSettings(enabled=True), plugins=(HELLO,))):
        pass
    assert capsys.readouterr().err == (
        'level=info msg="plugins enabled" by=config\nlevel=info msg="loading plugin" name=hello-controller-plugin\n'
    )


async def test_the_environment_enables_plugins_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGO_PLUGINS", "true")
    async with Registry(Config(plugins=(HELLO,))) as registry:
        assert [plugin.name for plugin in registry.snapshot()] == ["hello-controller-plugin"]
    assert capsys.readouterr().err == (
        'level=info msg="plugins enabled" by=ARGO_PLUGINS\n'
        'level=info msg="loading plugin" name=hello-controller-plugin\n'
    )


@pytest.mark.parametrize("value", ["", "false", "no"])
async def test_plugins_are_off_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ARGO_PLUGINS", value)
    async with Registry(Config(plugins=(HELLO,))) as registry:
        assert registry.snapshot() == ()
    assert capsys.readouterr().err == (
        'level=info msg="plugins disabled" hint="set enabled = true in [engine], or ARGO_PLUGINS=true"\n'
    )


def test_a_value_never_breaks_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().error('a "quoted"\nmessage', reason="a=b", count=3, flag=True, nothing=None)
    assert capsys.readouterr().err == (
        'level=error msg="a \\"quoted\\"\\nmessage" reason="a=b" count=3 flag=true nothing=\n'
    )


def test_an_exception_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        structlog.get_logger().exception("it broke")
    written = capsys.readouterr().err
    assert written.startswith('level=error msg="it broke" exception="Traceback (most recent call last):\\n')
    assert written.count("\n") == 1


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("this")
    assert capsys.readouterr().err == "level=warning msg=this\n"


def test_what_is_logged_by_other_means_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    log = logging.getLogger("rpc.client")
    log.info("not this")
    log.warning("plugin fails too often: %s", "hello")
    assert capsys.readouterr().err == 'level=warning msg="plugin fails too often: hello"\n'


def test_the_library_configures_nothing_by_itself(toml: Callable[[str], Path]) -> None:
    structlog.reset_defaults()
    Registry(toml("[engine]\nenabled = true"))
    assert not structlog.is_configured()
