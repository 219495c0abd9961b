"""The encoder stage: transformers and a naive search reproduce its gain; a rule with a known gain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import lavra
from lavra.base.files import write_json
from lavra.base.types import Document
from lavra.pipeline.instructions import make_samples
from lavra.pipeline.sections.encoder import encoder_section
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageContext
from lavra.pipeline.stages.encoder import EncoderResult, encoder_stage
from lavra.pipeline.training_samples import TrainingSamples, write_training_samples
from lavra.runs import budget
from lavra.runs.budget import CHOSEN_FILE
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
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


@dataclass(frozen=True, kw_only=True)
class Made:
    """Input and output of the stage."""

    context: StageContext
    result: EncoderResult

    @property
    def folder(self) -> Path:
        return self.context.folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """132 ordered pairs of things: 108 for training, 24 held out, each thing in both."""
    folder = tmp_path_factory.mktemp("encoder")
    pairs = [(one, other) for one in range(12) for other in range(12) if one != other]
    held = [(one, other) for one, other in pairs if (other - one) % 12 in (3, 7)]
    train = make_samples([module(0, [pair for pair in pairs if pair not in held])], seed=0)
    heldout = make_samples([module(1, held)], seed=0, training=train)
    for name in ("instructions", "tokenizer", "scratch", "out"):
        (folder / name).mkdir()
    write_training_samples(folder / "instructions", train, heldout)
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
    result = encoder_stage(UpConfig(), silent).run(context)
    assert isinstance(result, EncoderResult)
    return Made(context=context, result=result)


def test_the_encoder_finds_what_bm25_cannot(made: Made):
    result = made.result
    assert result.pairs == {"signature": 24}
    assert result.steps == 60
    assert result.recall_bm25["signature"] == pytest.approx(5 / 24)  # no word in common: a draw
    assert result.recall_before["signature"] < 0.5
    assert result.recall_after["signature"] > 0.9


def test_transformers_and_a_naive_search_find_as_many(made: Made):
    pairs = [
        one
        for one in TrainingSamples.open(made.context.parents["instructions"]).pairs("heldout")
        if one.kind == "signature"
    ]
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
    assert np.mean(found) == pytest.approx(made.result.recall_after["signature"])
    assert np.allclose(lavra.load(made.folder).embed(asked), vectors(asked), atol=1e-4)


def test_the_report_names_the_winner(made: Made):
    section = encoder_section(made.result)
    assert "BM25 21%" in section.summary
    words = [block.text for block in section.blocks if hasattr(block, "text")]
    assert words[0].startswith("Training helped: it finds ")
    assert words[0].endswith("It finds at least as many as BM25.")


def test_the_folder_is_one_of_sentence_transformers(made: Made):
    names = {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.json")}
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json"} <= names


def test_a_bert_has_the_time_of_the_stage_it_skips():
    shares = {family: encoder_stage(UpConfig(family=family), silent).config["seconds"] for family in ("llama", "bert")}
    assert shares["bert"] == pytest.approx(240 * 0.10)
    assert shares["llama"] == pytest.approx(240 * 0.04)


def test_the_fresh_encoders_weights_are_the_seeds(made: Made, tmp_path: Path):
    contexts = []
    for name in ("a", "b"):
        scratch = tmp_path / f"{name}-scratch"
        for folder in (tmp_path / name, scratch):
            folder.mkdir()
        write_json(scratch / CHOSEN_FILE, {"steps": 4, "measured": 1000})
        context = StageContext(folder=tmp_path / name, scratch=scratch, parents=made.context.parents)
        encoder_stage(UpConfig(), silent).run(context)
        contexts.append(context)
    first, again = ((context.folder / "model.safetensors").read_bytes() for context in contexts)
    assert first == again


def test_a_stopped_stage_goes_on_to_the_same_encoder(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "SECONDS_BETWEEN_SAVES", 1e-9)  # a checkpoint each step
    shown: list[int] = []

    def stage(name: str, stop_at: int) -> Path:
        def progress(step: str, done: float, *_: object) -> None:
            if step == "teach the encoder":
                shown.append(int(done))
                if done == stop_at:
                    raise KeyboardInterrupt

        for folder in (tmp_path / name, tmp_path / f"{name}-scratch"):
            folder.mkdir(exist_ok=True)
        write_json(tmp_path / f"{name}-scratch" / CHOSEN_FILE, {"steps": 5, "measured": 1000})
        context = StageContext(
            folder=tmp_path / name, scratch=tmp_path / f"{name}-scratch", parents=made.context.parents
        )
        encoder_stage(UpConfig(), progress).run(context)
        return context.folder / "model.safetensors"

    whole = stage("whole", stop_at=0)
    with pytest.raises(KeyboardInterrupt):
        stage("parts", stop_at=3)
    assert stage("parts", stop_at=0).read_bytes() == whole.read_bytes()
    assert shown == [1, 2, 3, 4, 5, 1, 2, 3, 3, 4, 5]
