"""An engine's options, passed on by who makes one from a configuration file."""

from __future__ import annotations

import inspect
from pathlib import Path

from engine import Engine, EngineOptions, PendingExecutor


class Controller(Engine):
    """An embedder's own."""


def test_a_subclass_made_from_a_file_is_of_that_class(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text("[engine]\n")
    executor = PendingExecutor()
    made = Controller.from_config(file, executor=executor, max_nodes=7)
    assert type(made) is Controller
    assert made.executor is executor


def test_the_options_that_are_passed_on_are_those_of_the_engine() -> None:
    parameters = inspect.signature(Engine).parameters.values()
    options = {each.name: each.annotation for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert {name: kind.__forward_arg__ for name, kind in EngineOptions.__annotations__.items()} == options
