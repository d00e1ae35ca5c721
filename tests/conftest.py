"""What holds for every test: no test is judged by how long it takes, Hypothesis' own included."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
