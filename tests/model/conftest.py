"""`transformers` saves every variant once, and each test opens it anew."""

import logging

import pytest

from lavra.model.checkpoint import load_checkpoint
from tests.model.variants import save_theirs, theirs


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    """Our model of a variant, from the folder that `save_pretrained` wrote."""
    folders = {}

    def open_variant(variant):
        if variant not in folders:
            folders[variant] = save_theirs(theirs(variant), tmp_path_factory.mktemp(variant.name))
        return load_checkpoint(folders[variant])[0]

    return open_variant


@pytest.fixture(scope="session", autouse=True)
def quiet():
    """Silence `transformers`' reports about every tiny model."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
