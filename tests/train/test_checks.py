"""Doctor's checks of training pass for what is right, for each kind of model, and fail for what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lavra.data.batch import FixedShape
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from lavra.train import Objective, OptimizerConfig, sequence_to_sequence_loss, token_loss
from lavra.train.checks import accumulation_check, packing_check, resume_check, training_checks, unpacked
from tests.data.fakes import ByteTokenizer
from tests.train.tiny import dataset, next_token, settings, tiny_config

DEFAULTS = settings(optimizer=OptimizerConfig(), precision="bf16")


def objective(folder, family, rows=2):
    if family in ("llama", "gpt2", "falcon"):
        return next_token(folder, batch_size=rows, sequence_length=64)
    data = TokenDataset.open(folder / "tokens") if (folder / "tokens").exists() else dataset(folder)
    shape = {"batch_size": rows, "sequence_length": 64, "seed": 0}
    if family == "bert":
        return Objective(batches=MaskedToken(data, MaskedTokenConfig(**shape), ByteTokenizer()), loss=token_loss)
    spans = SpanCorruption(data, SpanCorruptionConfig(**shape), ByteTokenizer())
    return Objective(batches=spans, loss=sequence_to_sequence_loss)


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "bert", "t5"])
def test_every_check_passes(tmp_path, family):
    checks = list(training_checks(tiny_config(family), lambda rows: objective(tmp_path, family, rows), DEFAULTS))
    assert [check.name for check in checks] == ["packed = unpacked", "accumulation = big batch", "save and resume"]
    for check in checks:
        assert check.passed, check
        assert not check.remedy


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_unpacked_documents_are_the_batch_without_padding(tmp_path, family):
    batch = objective(tmp_path, family).batches.batch(3)
    alone = list(unpacked(batch))
    assert len(alone) == sum(len(np.unique(row[row > 0])) for row in batch.segments.numpy())
    assert sum(document.num_targets for document in alone) == batch.num_targets
    for document in alone:
        assert (document.positions[0] == torch.arange(document.positions.shape[1])).all()
    joined = torch.cat([document.input_ids[0] for document in alone])
    assert torch.equal(joined, batch.input_ids[batch.segments > 0])


def test_documents_that_see_each_other_are_found(tmp_path):
    def leaky(model, batch):
        return token_loss(model, replace(batch, segments=torch.ones_like(batch.segments)))

    check = packing_check(
        tiny_config(), Objective(batches=next_token(tmp_path, sequence_length=64).batches, loss=leaky)
    )
    assert not check.passed
    assert "see each other" in check.remedy


def test_a_mean_a_micro_batch_is_found(tmp_path):
    """The classic mistake: each micro-batch divided by its own count."""

    def mean(model, batch):
        return token_loss(model, batch) / batch.num_targets

    masked = objective(tmp_path, "bert").batches
    assert len({masked.batch(0).rows(row, row + 1).num_targets for row in range(2)}) > 1
    check = accumulation_check(tiny_config("bert"), Objective(batches=masked, loss=mean), settings())
    assert not check.passed
    assert "accumulating" in check.remedy


def test_what_depends_on_more_than_the_step_is_found(tmp_path):
    class Forgetful(FixedShape):
        """Gives other batches each time it is asked."""

        def __init__(self):
            self.inner, self.asked = next_token(tmp_path).batches, 0

        def __len__(self):
            return len(self.inner)

        def batch(self, index):
            self.asked += 1
            return self.inner.batch(0 if index == 0 else self.asked)

    check = resume_check(tiny_config(), Objective(batches=Forgetful(), loss=token_loss), settings())
    assert not check.passed
    assert "not exact" in check.remedy
