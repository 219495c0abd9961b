"""A pytest plugin for llama.cpp's server tests: each test loads its own model, instead of all models first."""

from __future__ import annotations

import pytest
from utils import ServerPreset  # llama.cpp's; its folder is on the path


def pytest_sessionstart(session: pytest.Session) -> None:
    """Load no model before the first test."""
    ServerPreset.load_all = staticmethod(lambda: None)
