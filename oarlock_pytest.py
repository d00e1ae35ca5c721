"""The fixture ``oarlock`` for tests of plugins, see ``docs/testing.md``.

pytest loads this wherever Oarlock is installed, in sessions that have nothing to do with it, too, and beside modules
that may have the names of its packages. So nothing of it is imported before somebody asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engine.testing import Oarlock


@pytest.fixture(name="oarlock")
def _oarlock() -> Iterator[Oarlock]:
    """Runs workflows with plugins under test: `oarlock.run(manifest, plugins=[...], outcomes={...})`."""
    from engine.testing import Oarlock

    with Oarlock() as made:
        yield made
