"""Fixtures for every test, and settings that make two runs of the suite equal."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

# Before torch is imported: on one thread, tiny tensors are fastest, and sums are equal on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "svg")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Switch the garbage collector off while modules are imported, and exempt their objects afterwards.

    The libraries make a million objects that are never freed: searching them took a fifth of the collection's time and
    a fifteenth of the tests' time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def lavra_data() -> Path:
    """The folder of real public test data in LAVRA_DATA; without it the test is skipped with a message."""
    name = os.environ.get("LAVRA_DATA")
    if not name:
        pytest.skip("LAVRA_DATA is not set; it names the folder of real public test data (CONTRIBUTING.md)")
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"LAVRA_DATA={name} is not a folder; unset it to skip the tests on real data")
    return folder
