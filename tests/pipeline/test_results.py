"""Results as plain data: every stage's result reads back equal, and a card's figures are its base class's fields."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from lavra.base.convert import to_mapping
from lavra.base.errors import InputError
from lavra.pipeline.results import Skipped, card_metrics, from_plain, read_result, write_result
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.up import up_stages
from tests.pipeline.test_sections import RENDERED
from tests.pipeline.test_up import silent


@pytest.mark.parametrize("name", RENDERED)
def test_every_result_reads_back_equal_and_says_the_same(name: str, tmp_path: Path) -> None:
    section, result = RENDERED[name]
    write_result(tmp_path, result)
    again = read_result(tmp_path, {}, type(result), None)
    assert again == result
    assert section(again) == section(result)  # the order of mappings, too, which equality does not look at


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_every_stage_of_up_names_the_result_it_has_a_section_for(family: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    rendered = {type(result): section for section, result in RENDERED.values()}
    stages = up_stages(UpConfig(text=tmp_path, family=family), silent)
    for stage in stages:
        if stage.section is not None:
            assert rendered[stage.result] is stage.section
        if stage.figures is not None:
            assert issubclass(stage.result, stage.figures)
    assert [stage.name for stage in stages if stage.section is None] == (
        ["tokens", "baselines"] if family == "llama" else ["tokens"]
    )


def test_keys_of_cards_stay_unchanged(tmp_path: Path) -> None:
    """Keys of cards on disk, written by earlier versions and read by others."""
    (tmp_path / "a.txt").write_text("text")
    keys = {
        (stage.name, field.name)
        for family in ("llama", "bert")
        for stage in up_stages(UpConfig(text=tmp_path, family=family), silent)
        for field in fields(stage.figures or _Nothing)
    }
    written = {
        "tokenizer": "bytes_per_token texts_changed unknown_tokens",
        "tokens": "train_tokens heldout_tokens",
        "plan": "parameters num_steps",
        "pretrain": "steps tokens compile_seconds",
        "evaluate": "bits_per_byte ratios baselines lines_exact first_tokens_right "
        "nats_per_hole gain_over_backoff gain_over_combined num_holes",
        "instructions": "instructions pairs",
        "benchmarks": "scores items verdict",
        "adapt": "nats_before nats_after chosen_before chosen_after measured steps left_out",
        "encoder": "recall_before recall_after recall_bm25 pairs cutoff steps texts_cut",
        "index": "documents chunks encoder asked answered right_document",
        "compress": "holds bytes mean_kl",
    }
    assert keys == {(stage, key) for stage, names in written.items() for key in names.split()}


@dataclass(frozen=True)
class _Nothing:
    """No figures."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Figures."""

    mean: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class More(Numbers):
    """A result with figures."""

    text: str | None


def test_figures_are_in_the_card_and_the_rest_is_not() -> None:
    result = More(mean=0.5, names=("a",), text="t")
    assert card_metrics(result, Numbers) == {"mean": 0.5, "names": ["a"]}
    assert card_metrics(result, None) == card_metrics(None, Numbers) == {}
    assert card_metrics(Skipped(why="w"), Numbers) == {"skipped": "w"}


def test_a_mean_of_nothing_and_the_word_none_are_read_as_written() -> None:
    """A diverged loss is NaN, and a model may write `none`: a reader of settings would convert either."""
    plain = json.loads(json.dumps(to_mapping(More(mean=math.nan, text="none"))))
    again = from_plain(More, plain)
    assert math.isnan(again.mean)
    assert again.text == "none"
    assert from_plain(More, {"mean": 1.0, "text": None}).text is None


def test_absent_results_are_none_or_the_figures_alone(tmp_path: Path) -> None:
    assert read_result(tmp_path, {"seconds": 1.0}, More, None) is None
    assert read_result(tmp_path, {"seconds": 1.0, "mean": 2.0, "names": ["a"]}, More, Numbers) == Numbers(
        mean=2.0, names=("a",)
    )
    with pytest.raises(InputError, match="lacks what was measured"):
        read_result(tmp_path, {"seconds": 1.0}, More, Numbers)
