"""The encoder stage: what it learns is found again by transformers and a naive search; a rule with a known gain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import lavra
from lavra.base.files import write_json
from lavra.base.types import Document
from lavra.pipeline.allowance import CHOSEN_FILE
from lavra.pipeline.instructions import make_samples
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageContext
from lavra.pipeline.stages.encoder import encoder_stage
from lavra.pipeline.teaching import Lessons, write_lessons
from lavra.tokens import TokenizerConfig, train_tokenizer
from tests.pipeline.taught import silent

THINGS = ("box", "door", "tree", "lamp", "fish", "coat", "ship", "road", "song", "bell", "hat", "cup")
CODES = ("zo", "ka", "mi", "re", "tu", "ba", "so", "ne", "vi", "lo", "du", "fe")
"""What names call the things: no word of a name is one of its docstring."""


def module(number: int, pairs: list[tuple[int, int]]) -> Document:
    functions = [
        f'def {CODES[one]}_{CODES[other]}():\n    """Puts {THINGS[one]} before {THINGS[other]}."""\n    return {one}\n'
        for one, other in pairs
    ]
    return Document(id=f"d{number}", text="\n".join(functions), source=f"m{number}.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """132 ordered pairs of things: 108 to learn from, 24 held out, each thing in both."""
    folder = tmp_path_factory.mktemp("encoder")
    pairs = [(one, other) for one in range(12) for other in range(12) if one != other]
    held = [(one, other) for one, other in pairs if (other - one) % 12 in (3, 7)]
    train = make_samples([module(0, [pair for pair in pairs if pair not in held])], seed=0)
    heldout = make_samples([module(1, held)], seed=0, training=train)
    for name in ("instructions", "tokenizer", "scratch", "out"):
        (folder / name).mkdir()
    write_lessons(folder / "instructions", train, heldout)
    texts = [f"{one.anchor} {one.positive}" for one in train.pairs]
    train_tokenizer(texts, TokenizerConfig(kind="bpe", vocab_size=400)).save(folder / "tokenizer")
    write_json(
        folder / "scratch" / CHOSEN_FILE, {"steps": 60, "measured": 1000}
    )  # as a session that was interrupted had chosen
    context = StageContext(
        folder=folder / "out",
        scratch=folder / "scratch",
        parents={name: folder / name for name in ("instructions", "tokenizer")},
    )
    encoder_stage(UpConfig(), silent).run(context)
    return context


def test_the_encoder_finds_what_bm25_cannot(made: StageContext):
    metrics = made.metrics
    assert metrics["pairs"] == {"signature": 24}
    assert metrics["steps"] == 60
    assert metrics["recall_bm25"]["signature"] == pytest.approx(5 / 24)  # no word in common: a draw
    assert metrics["recall_before"]["signature"] < 0.5
    assert metrics["recall_after"]["signature"] > 0.9


def test_transformers_and_a_naive_search_find_as_many(made: StageContext):
    pairs = [one for one in Lessons.open(made.parents["instructions"]).pairs("heldout") if one.kind == "signature"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.folder)
    model = transformers.AutoModel.from_pretrained(made.folder).eval()

    def vectors(texts: list[str]) -> np.ndarray:
        found = []
        for text in texts:
            with torch.no_grad():
                hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
            found.append((hidden / hidden.norm()).numpy())
        return np.stack(found)

    asked, passages = [one.anchor for one in pairs], [one.positive for one in pairs]
    scores = vectors(asked) @ vectors(passages).T
    found = [(row > row[at]).sum() < 5 for at, row in enumerate(scores)]
    assert np.mean(found) == pytest.approx(made.metrics["recall_after"]["signature"])
    assert np.allclose(lavra.load(made.folder).embed(asked), vectors(asked), atol=1e-4)


def test_the_report_names_the_winner(made: StageContext):
    assert made.section is not None
    assert "BM25 21%" in made.section.summary
    words = [block.text for block in made.section.blocks if hasattr(block, "text")]
    assert words == ["It finds at least as many as BM25."]


def test_the_folder_is_one_of_sentence_transformers(made: StageContext):
    names = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.json")}
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json"} <= names


def test_a_bert_has_the_time_of_the_stage_it_skips():
    shares = {family: encoder_stage(UpConfig(family=family), silent).config["seconds"] for family in ("llama", "bert")}
    assert shares["bert"] == pytest.approx(240 * 0.10)
    assert shares["llama"] == pytest.approx(240 * 0.04)


def test_the_fresh_encoders_weights_are_the_seeds(made: StageContext, tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    write_json(tmp_path / "scratch" / CHOSEN_FILE, {"steps": 4, "measured": 1000})
    contexts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        context = StageContext(folder=tmp_path / name, scratch=tmp_path / "scratch", parents=made.parents)
        encoder_stage(UpConfig(), silent).run(context)
        contexts.append(context)
    first, again = ((context.folder / "model.safetensors").read_bytes() for context in contexts)
    assert first == again
