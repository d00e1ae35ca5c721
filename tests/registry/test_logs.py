"""Log lines, exactly as they are written."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Config, EngineSettings, PluginConfig, Registry
from registry.logs import OURS, configure_logs
from rpc.logs import get_logger
from tests.logs import unconfigure

ROOT = Path(__file__).parents[2]
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
    get_logger("engine.engine").error('a "quoted"\nmessage', reason="a=b", count=3, flag=True, nothing=None)
    assert capsys.readouterr().err == (
        'level=error msg="a \\"quoted\\"\\nmessage" reason="a=b" count=3 flag=true nothing=\n'
    )


def test_an_exception_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        get_logger("engine.engine").exception("it broke")
    written = capsys.readouterr().err
    assert written.startswith('level=error msg="it broke" exception="Traceback (most recent call last):\\n')
    assert written.count("\n") == 1


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    get_logger("engine.engine").info("not this")
    get_logger("engine.engine").warning("this")
    assert capsys.readouterr().err == "level=warning msg=this\n"


def test_what_is_logged_by_other_means_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    log = logging.getLogger("rpc.client")
    log.info("not this")
    log.warning("plugin fails\ntoo often: %s", "hello", extra={"workflow": "w\x1b[31m"})
    assert capsys.readouterr().err == ('level=warning msg="plugin fails\\ntoo often: hello" workflow=w\\x1b[31m\n')


def test_of_other_libraries_only_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("asyncio").info("not this")
    logging.getLogger("asyncio").warning("this")
    assert capsys.readouterr().err == "level=warning msg=this\n"


def test_to_a_plain_formatter_a_field_is_text_in_one_line_and_to_others_an_attribute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = get_logger("engine.engine").bind(workflow="default/w", pass_id=3)
    log.warning("pass aborted", reason="status 503,\nbody: \x1b[31m100%", name="p")
    [record] = caplog.records
    assert record.getMessage() == (
        'pass aborted workflow=default/w pass_id=3 reason="status 503,\\nbody: \\x1b[31m100%" name=p'
    )
    assert (
        vars(record).items() >= {"workflow": "default/w", "pass_id": 3, "plugin": "p", "name": "engine.engine"}.items()
    )
    assert record.filename == "test_logs.py"


def test_an_exception_shows_no_locals(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "tok" + "en"
    try:
        raise ValueError(len(secret))
    except ValueError:
        get_logger("engine.engine").exception("it broke")
    assert "token" not in capsys.readouterr().err


async def test_the_library_configures_nothing_by_itself(
    toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    unconfigure()
    root = logging.getLogger()
    before = [root.level, *root.handlers]
    async with Registry(toml("[engine]\nenabled = true")):
        pass
    assert [root.level, *root.handlers] == before
    ours = [logger for name, logger in root.manager.loggerDict.items() if name.partition(".")[0] in OURS]
    assert not [each for each in ours if isinstance(each, logging.Logger) and (each.handlers or each.level)]
    assert capsys.readouterr().err == ""


def test_no_field_has_the_name_of_what_every_record_has() -> None:
    taken = {*vars(logging.makeLogRecord({})), "message", "asctime"} - {"name"}
    logger = re.compile(r"\blog\b|_log\b")
    calls = [
        (file, node)
        for name in OURS
        for file in (ROOT / name).rglob("*.py")
        if logger.search(text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and logger.search(ast.unparse(node.func))
    ]
    assert len(calls) > 20
    assert not [(file, word.arg) for file, node in calls for word in node.keywords if word.arg in taken - {"exc_info"}]
