"""The finetuning benchmark compares equal work: without dropout both sides end in the same logits.

lavra's loop and the Hugging Face Trainer (with peft for the decoder) start from the same tiny model and replay the
same rows, order and rates; if a mask, a label, a rate or the optimizer differed, the logits would.
"""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.train.loop import train
from tests.runs.tasks import rows, tokenizer, write

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# Name of the benchmark's task, what its rows are here, and the model.
KINDS = {
    "sst2": ("classify", "bert"),
    "stsb": ("pair-number", "bert"),
    "lener": ("ner", "bert"),
    "xquad": ("qa", "bert"),
    "instruct": ("text2text", "llama"),
    "instruct-t5": ("text2text", "t5"),
}


class Clock:
    """Measures nothing."""

    @contextmanager
    def training(self, device="cpu"):
        yield

    def step_done(self):
        self.steps = getattr(self, "steps", 0) + 1


def base_folder(folder, family):
    """A base without dropout, long enough for the benchmark's rows."""
    words = tokenizer(family)
    config = preset(family, vocab_size=words.vocab_size, hidden_size=32, num_layers=2, num_heads=2, max_positions=512)
    ids = {"pad_id": words.pad_id, "bos_id": words.bos_id, "eos_ids": () if words.eos_id is None else (words.eos_id,)}
    if family == "t5":
        ids["decoder_start_id"] = words.pad_id
    torch.manual_seed(0)
    save_checkpoint(build_model(type(config)(**{**vars(config), **ids})), folder)
    words.save(folder)
    file = folder / "config.json"
    found = json.loads(file.read_text())
    found.update({name: 0.0 for name in found if name.endswith(("dropout", "dropout_prob"))})
    file.write_text(json.dumps(found))
    return folder


def labelled(kind, count, seed):
    if kind != "pair-number":
        return rows(kind, count, seed)
    made = rows("classify", count, seed)
    return [{"text": row["text"], "pair": "it was", "label": len(row["text"]) / 20} for row in made]


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("finetuning_ours"), importlib.import_module("finetuning_peer")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_both_sides_learn_the_same(name, sides, tmp_path):
    ours, peer = sides
    kind, family = KINDS[name]
    write(tmp_path / "train.jsonl", labelled(kind, 40, 0))
    write(tmp_path / "heldout.jsonl", labelled(kind, 12, 1))
    base = base_folder(tmp_path / "base", family)
    job = ours.FinetuneJob(task=name, seed=1, data=str(tmp_path), base=str(base), steps=6, batch_size=8)
    prepared = ours.ready(job)
    theirs = ours.export(prepared, tmp_path, device="cpu", compile_it=False)
    clock = Clock()
    assert peer.train_job(ours.peer_settings(theirs), clock)["steps"] == clock.steps == 6
    before = [np.array(one) for one in ours.own_logits(prepared)]
    train(prepared.recipe.module(), prepared.training_task.objective, prepared.train)
    prepared.recipe.module().eval()
    after = ours.own_logits(prepared)
    found = peer.load_ragged(Path(theirs.out))["logits"]
    if kind == "text2text":  # nats: of batches with us, of rows with the peer
        before, after, found = ([np.sum([one.sum() for one in many])] for many in (before, after, found))
    moved = max(float(np.abs(a.reshape(-1) - b.reshape(-1)).max()) for a, b in zip(after, before, strict=True))
    apart = max(float(np.abs(a.reshape(-1) - b.reshape(-1)).max()) for a, b in zip(after, found, strict=True))
    assert apart < 0.01 * moved
    mine, peers = ours.scored(prepared, after), ours.scored(prepared, found)
    assert mine.keys() == peers.keys()
    assert all(abs(mine[key] - peers[key]) < 1e-3 or np.isnan(mine[key]) for key in mine)
