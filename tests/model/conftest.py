"""Every variant is saved by `transformers` once, and opened anew by each test."""

import logging

import pytest

from lavra.model import load_checkpoint
from tests.model.variants import save_theirs, theirs


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    """Our model of a variant, from the folder `save_pretrained` wrote."""
    folders = {}

    def open_variant(variant):
        if variant not in folders:
            folders[variant] = save_theirs(theirs(variant), tmp_path_factory.mktemp(variant.name))
        return load_checkpoint(folders[variant])[0]

    return open_variant


@pytest.fixture(scope="session", autouse=True)
def quiet():
    """`transformers` reports on every tiny model it opens."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
