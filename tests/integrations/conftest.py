"""A setting by which the harness finds the rows of the shipped tasks."""

import os

import pytest

from lavra import load
from tests.model.smollm2 import FILE


@pytest.fixture(scope="module")
def stories(lavra_data):
    return str(lavra_data / "weights" / "stories260K" / "hf")


@pytest.fixture
def here(lavra_data, monkeypatch):
    """Run in the data's root, from where the harness finds the rows of shipped tasks."""
    monkeypatch.chdir(lavra_data)
    monkeypatch.setitem(os.environ, "HF_DATASETS_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2")
    load(str(FILE), dtype="float32").save(folder)
    return str(folder)
