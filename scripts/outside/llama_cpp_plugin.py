"""A pytest plugin for llama.cpp's server tests: they load every model of theirs first, and here each loads its own."""

from __future__ import annotations

import pytest
from utils import ServerPreset  # llama.cpp's; its folder is on the path


def pytest_sessionstart(session: pytest.Session) -> None:
    """Load nothing before the first test."""
    ServerPreset.load_all = staticmethod(lambda: None)
