"""The adapt stage: peft and transformers reproduce its training; the reason is given where nothing is trained."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import peft
import pytest
import torch
import transformers

from lavra.base.workspace import Workspace
from lavra.model.config import Kind
from lavra.pipeline.samples.sample import CODE_KINDS
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageOutcome
from lavra.pipeline.stages.adapt import AdaptResult, _steps
from lavra.pipeline.stages.encoder import EncoderResult
from lavra.pipeline.training_samples import TrainingSamples
from lavra.report.section import SampleBlock
from lavra.runs import budget
from tests.pipeline.taught import code, fix_steps, run, settings


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return code(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        fix_steps(patch, 40)
        return run(settings(text), Workspace.open(tmp_path_factory.mktemp("adapt") / "w"))


def naive_nats(model: torch.nn.Module, tokenizer, rows) -> float:
    """Nats for each token of the answers and their end, one conversation at a time."""
    total, count = 0.0, 0
    for one in rows:
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": one.instruction}], tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer(asked + one.output + tokenizer.eos_token, add_special_tokens=False).input_ids
        start = len(tokenizer(asked, add_special_tokens=False).input_ids)
        if len(whole) - 1 > 128:
            continue
        with torch.no_grad():
            logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        total -= sum(float(logits[at - 1, whole[at]]) for at in range(start, len(whole)))
        count += len(whole) - start
    return total / count


def test_held_out_answers_become_less_of_a_surprise(made):
    metrics = made["adapt"].card.metrics
    assert set(metrics["nats_before"]) == set(CODE_KINDS)
    for kind in CODE_KINDS:
        assert metrics["nats_before"][kind] == pytest.approx(math.log(512), abs=0.3)  # an untrained model guesses
        assert metrics["nats_after"][kind] < metrics["nats_before"][kind] - 0.03
    assert sum(metrics["nats_after"].values()) < sum(metrics["nats_before"].values()) - 0.4


def test_peft_and_transformers_find_the_same_nats(made):
    folder, metrics = made["adapt"].folder, made["adapt"].card.metrics
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    base = transformers.AutoModelForCausalLM.from_pretrained(made["pretrain"].folder)
    rows = [
        one
        for one in TrainingSamples.open(made["instructions"].folder).instructions("heldout")
        if one.kind == "signature"
    ]
    rows = rows[:8]  # as many as were measured
    assert naive_nats(base, tokenizer, rows) == pytest.approx(metrics["nats_before"]["signature"], abs=1e-3)
    adapted = peft.PeftModel.from_pretrained(base, folder)
    assert naive_nats(adapted, tokenizer, rows) == pytest.approx(metrics["nats_after"]["signature"], abs=1e-3)


def test_the_report_shows_answers_before_and_after(made):
    section = made["adapt"].section
    shown = [block for block in section.blocks if isinstance(block, SampleBlock)]
    assert len(shown) == 4
    assert all("before: " in one.note and one.reference for one in shown)
    assert f"{made['adapt'].card.metrics['steps']} steps" in section.summary


def test_a_second_run_reuses_what_was_taught(made, text: Path):
    workspace = Workspace.open(made["adapt"].folder.parent.parent)
    again = run(settings(text), workspace)
    assert all(result.reused for result in again.values())
    assert again["adapt"].folder == made["adapt"].folder


@pytest.mark.slow
def test_t5_is_taught_one_text_of_another(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fix_steps(monkeypatch, 12)
    metrics = run(settings(text, family="t5", vocab_size=1024), Workspace.open(tmp_path / "w"))["adapt"].card.metrics
    assert sum(metrics["nats_after"].values()) < sum(metrics["nats_before"].values())


@pytest.mark.slow
def test_a_bert_says_why_it_is_not_taught(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fix_steps(monkeypatch, 4)
    results = run(settings(text, family="bert", vocab_size=1024), Workspace.open(tmp_path / "w"))
    assert results["adapt"].section.summary == "Skipped: an encoder writes no answers."
    assert results["encoder"].card.metrics["steps"] == 4


def notes(folder: Path, number: int) -> Path:
    """This number of notes in invented words, with sentences and paragraphs."""
    folder.mkdir()
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioulnrst", k=draw.randint(3, 8))) for _ in range(500)]
    for note in range(number):
        paragraphs = (
            " ".join(" ".join(draw.choices(words, k=4)).capitalize() + "." for _ in range(3)) for _ in range(6)
        )
        (folder / f"{note}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    return folder


@dataclass(frozen=True, kw_only=True)
class Slow:
    """A run on notes while the machine was slow for a moment."""

    config: UpConfig
    workspace: Path
    outcomes: Mapping[str, StageOutcome]

    def again(self, folder: Path) -> dict[str, StageOutcome]:
        """The next run, in a copy of the workspace."""
        return run(self.config, Workspace.open(shutil.copytree(self.workspace, folder, dirs_exist_ok=True)))


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Slow:
    folder = tmp_path_factory.mktemp("notes")
    config = settings(notes(folder / "text", 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "seconds_a_step", lambda *_: 1e6)
        return Slow(config=config, workspace=folder / "w", outcomes=run(config, Workspace.open(folder / "w")))


def test_a_stage_without_time_says_so_and_is_tried_again(slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fix_steps(monkeypatch, 4)
    tried, again = slow.again(tmp_path), run(slow.config, Workspace.open(tmp_path))
    for stage in ("adapt", "encoder"):
        assert "not even 4 steps fit into" in slow.outcomes[stage].section.summary
        assert not tried[stage].reused
        assert tried[stage].card.metrics["steps"] == 4
        assert again[stage].reused
    assert tried["instructions"].reused


def test_prose_is_taught(slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fix_steps(monkeypatch, 12)
    results = slow.again(tmp_path)
    taught, encoded = results["adapt"].result_as(AdaptResult), results["encoder"].result_as(EncoderResult)
    assert set(taught.nats_after) == {"continue", "paragraph", "cloze", "summary"}
    assert all(taught.nats_after[kind] < taught.nats_before[kind] for kind in taught.nats_after)
    assert taught.is_better
    assert 0 < taught.after.asked <= 8
    assert set(encoded.recall_after) == {"continue", "sentence"}
    assert "The taught model scores better on held-out answers" in results["adapt"].section.summary


def test_a_loss_that_explodes_ends_the_stage_and_not_the_run(
    slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fix_steps(monkeypatch, 20)
    monkeypatch.setattr("lavra.pipeline.stages.adapt._HIGHEST_RATE", 1e9)
    monkeypatch.setattr("lavra.pipeline.stages.adapt._RATE_TIMES_WIDTH", 1e12)
    monkeypatch.setattr("lavra.pipeline.stages.encoder._RATE", 1e30)
    results = slow.again(tmp_path)
    for stage in ("adapt", "encoder"):
        assert results[stage].section.summary.startswith("Skipped: teaching was stopped: step ")
        assert not results[stage].result.again  # it would explode again


def test_too_little_text_says_why_nothing_is_taught(tmp_path: Path):
    results = run(settings(notes(tmp_path / "text", 3)), Workspace.open(tmp_path / "w"))
    for stage in ("adapt", "encoder"):
        assert "to measure on, and 64 and 8 are needed; give more text" in results[stage].section.summary
        assert not results[stage].result.again
    assert TrainingSamples.open(results["instructions"].folder).shares(Kind.DECODER)["pretrain"] == pytest.approx(0.95)


@pytest.mark.slow
def test_a_context_without_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fix_steps(monkeypatch, 4)
    monkeypatch.setattr("lavra.pipeline.stages.instructions._LEAST_BYTES", 1024)
    results = run(settings(notes(tmp_path / "text", 40), sequence_length=64), Workspace.open(tmp_path / "w"))
    assert "no sample fits into 64 tokens" in results["adapt"].section.summary


def test_few_samples_are_not_learnt_by_heart():
    assert [_steps(1000, samples) for samples in (64, 6400)] == [32, 1000]
    assert _steps(3, 64) == 3
    assert _steps(1000, 1) == 4
