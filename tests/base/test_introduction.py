"""A model's introduction: written to its card, read again, and taken from its evaluation where it has none."""

from __future__ import annotations

import pytest

from lavra.base.card import add_metrics, read_card, write_card
from lavra.base.errors import InputError
from lavra.base.introduction import Introduction, read_introduction, write_introduction


@pytest.fixture
def folder(tmp_path):
    write_card(tmp_path, kind="model", parents={}, config={}, metrics={"loss": 1.5})
    return tmp_path


def test_a_written_introduction_is_read_and_the_identity_stays(folder) -> None:
    before = read_card(folder)
    told = Introduction(good_for="It finishes lines.", beginnings=("Once", "Uma vez"))
    write_introduction(folder, told)
    write_introduction(folder, told)
    assert read_introduction(folder) == told
    assert read_card(folder).id == before.id
    assert read_card(folder).metrics["loss"] == 1.5


def test_a_model_without_one_says_what_lavra_evaluate_found(folder) -> None:
    assert read_introduction(folder) == Introduction()
    add_metrics(
        folder, {"evaluation": {"abilities": {"It can": ["It can add.", "It can read."], "It cannot": ["No."]}}}
    )
    assert read_introduction(folder) == Introduction(good_for="It can add. It can read.")


def test_a_folder_without_a_card_is_silent(tmp_path) -> None:
    assert read_introduction(tmp_path) == read_introduction(None) == Introduction()
    with pytest.raises(InputError):
        write_introduction(tmp_path, Introduction())
