"""Training only the used rows of an embedding equals training all rows, and nothing else changes."""

from dataclasses import replace

import pytest
import torch

from lavra.adapt.methods.lora import LoraConfig
from lavra.data.rows.batches import RowBatches
from lavra.runs.finetune import prepare
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.table import task_named
from lavra.train.config import Parallel
from lavra.train.hooks import CallbackHook
from lavra.train.loop import train
from lavra.train.used_rows import UsedRows, only_used_rows
from tests.runs.tasks import base_folder, rows, write

STEPS = 6


def prepared(folder, kind="classify", family="bert", **settings):
    folder.mkdir(exist_ok=True)
    config = FinetuneConfig(
        task=task_named(kind), data=write(folder / "data.jsonl", rows(kind, 40)), **{"learning_rate": 3e-3, **settings}
    )
    return prepare(config, base_folder(folder / "base", family))


def trained(made, **changes):
    train(made.recipe.module(), made.training_task.objective, replace(made.train, num_steps=STEPS, **changes))
    return made.recipe.module().state_dict()


@pytest.mark.parametrize(("kind", "family"), [("classify", "bert"), ("ner", "llama"), ("qa", "t5"), ("embed", "bert")])
def test_used_rows_learn_the_same_as_in_the_whole_table(tmp_path, monkeypatch, kind, family):
    found = trained(prepared(tmp_path / "few", kind, family, weight_decay=0.0))
    monkeypatch.setattr(RowBatches, "used_ids", None)
    expected = trained(prepared(tmp_path / "all", kind, family, weight_decay=0.0))
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert torch.allclose(found[name], one, atol=1e-6), name


def test_unused_rows_stay_unchanged(tmp_path):
    made = prepared(tmp_path, weight_decay=0.5)
    before = made.recipe.module().backbone.embedding.token.weight.detach().clone()
    after = trained(made)["backbone.embedding.token.weight"]
    used = sorted(made.training_task.objective.batches.used_ids)
    changed = (before != after).any(dim=1)
    assert changed[used].float().mean() > 0.9
    assert 0 < int(changed.sum()) <= len(used) + 4


def test_every_token_is_read_while_it_is_measured(tmp_path):
    model = prepared(tmp_path).recipe.module()
    table = model.backbone.embedding.token
    with only_used_rows(model, prepared(tmp_path / "again").training_task.objective, Parallel.NONE):
        few = model.backbone.embedding.token
        ids = torch.arange(len(table.weight))[None]
        assert isinstance(few, UsedRows)
        assert len(few.weight) < len(table.weight)
        assert torch.equal(few.eval()(ids), table(ids))
        with pytest.raises(IndexError):
            few.train()(ids)
    assert model.backbone.embedding.token is table


def test_a_run_that_stops_leaves_what_it_learnt(tmp_path):
    made = prepared(tmp_path)
    model = made.recipe.module()
    table, before = model.backbone.embedding.token, model.backbone.embedding.token.weight.detach().clone()

    def stop(step, metrics):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, made.training_task.objective, made.train, hooks=[CallbackHook(stop)])
    assert model.backbone.embedding.token is table
    assert not torch.equal(table.weight, before)


@pytest.mark.parametrize(
    ("kind", "family", "method"),
    [("chat", "llama", None), ("text2text", "t5", None), ("classify", "bert", LoraConfig())],
)
def test_models_that_write_and_frozen_tables_are_let_alone(tmp_path, kind, family, method):
    made = prepared(tmp_path, kind, family, method=method)
    model = made.recipe.module()
    before = list(model.modules())
    with only_used_rows(model, made.training_task.objective, Parallel.NONE):
        assert list(model.modules()) == before
