"""Doctor's checks of training pass right runs of each family, and find each planted fault.

A fault is planted where it would occur: in the mask, in the batch maker, in the loop, in the checkpoint.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import lavra.train.checkpoint as checkpoint
import lavra.train.loop as loop
from lavra.base.checks import Check, CheckState
from lavra.data.batch import IGNORE, FixedShape
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from lavra.model import masks
from lavra.model.config import Dropout
from lavra.train.checks import accumulation_check, resume_check
from lavra.train.config import OptimizerConfig
from lavra.train.objective import Objective, sequence_to_sequence_loss, token_loss
from lavra.train.packing import TOKEN_TOLERANCE, most_documents, packing_check, token_nats, unpacked
from tests.data.fakes import ByteTokenizer
from tests.train.tiny import dataset, next_token, settings, tiny_model

DEFAULTS = settings(optimizer=OptimizerConfig(), precision="bf16")
FAMILIES = ["gpt2", "llama", "falcon", "bert", "t5"]
DROPPING = Dropout(embedding=0.1, attention=0.1, residual=0.1, feed_forward=0.1, output=0.1)


def objective(folder, family, rows=2):
    if family in ("llama", "gpt2", "falcon"):
        return next_token(folder, batch_size=rows, sequence_length=64)
    data = TokenDataset.open(folder / "tokens") if (folder / "tokens").exists() else dataset(folder)
    shape = {"batch_size": rows, "sequence_length": 64, "seed": 0}
    if family == "bert":
        return Objective(batches=MaskedToken(data, MaskedTokenConfig(**shape), ByteTokenizer()), loss=token_loss)
    spans = SpanCorruption(data, SpanCorruptionConfig(**shape), ByteTokenizer())
    return Objective(batches=spans, loss=sequence_to_sequence_loss)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_check_passes(tmp_path, family):
    made, batch = packed(tmp_path, family)
    model, first = tiny_model(family, dropout=DROPPING), made.batches.batch(0)
    parts = [first.rows(row, row + 1) for row in range(2)]
    for check in (
        packing_check(model, made, batch),
        accumulation_check(model, made, [first], parts, DEFAULTS),
        resume_check(model, made, DEFAULTS),
    ):
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


# ---------------------------------------------------------------- packing


def packed(folder, family):
    made = objective(folder, family)
    return made, most_documents(made)


def fails(check, *words):
    assert check.state is CheckState.FAILED, check
    for word in words:
        assert word in check.remedy


def test_a_tokens_loss_is_that_of_its_logits(tmp_path):
    """Loss of every token, labelled or not, in the order of the rows."""
    made, batch = packed(tmp_path, "bert")
    model = tiny_model("bert").eval()
    with torch.no_grad():
        logits = model(batch.input_ids, positions=batch.positions, segments=batch.segments)
        found = token_nats(model, made, batch)
    real = batch.segments > 0
    expected = -logits.log_softmax(-1).gather(-1, batch.input_ids[..., None])[..., 0][real]
    assert len(found) == int(real.sum()) > batch.num_targets
    assert torch.allclose(found, expected, atol=1e-5)


def without_segments(pairs, window, allowed=masks._allowed):
    return allowed(replace(pairs, query_segments=None, key_segments=None), window)


def with_the_token_before(pairs, window, allowed=masks._allowed):
    """Every token sees the one before it, even if that is the last token of its neighbour."""
    found = allowed(pairs, window)
    if found is None or pairs.query_segments is None:
        return found
    queries, keys = found.shape[-2:]
    return found | torch.ones(queries, keys, dtype=torch.bool).tril(-1).triu(-1)


@pytest.mark.parametrize("fault", [without_segments, with_the_token_before])
@pytest.mark.parametrize("family", FAMILIES)
def test_neighbours_that_are_seen_are_found(tmp_path, monkeypatch, family, fault):
    made, batch = packed(tmp_path, family)
    model = tiny_model(family)
    sound = packing_check(model, made, batch)
    assert sound.passed, sound
    monkeypatch.setattr(masks, "_allowed", fault)
    fails(packing_check(model, made, batch), "neighbours")


def test_sums_in_another_order_are_no_neighbours(tmp_path, monkeypatch):
    """T5 does not scale its scores: with large weights, float32 alone changes a token's loss by more than allowed."""
    made, batch = packed(tmp_path, "t5")
    model = tiny_model("t5", layers=4, hidden=128)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.7)
    model.eval()
    with torch.no_grad():
        together = token_nats(model, made, batch)
        alone = torch.cat([token_nats(model, made, one) for one in unpacked(batch)])
    assert float((together - alone).abs().max()) > TOKEN_TOLERANCE
    assert packing_check(model, made, batch).passed
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    monkeypatch.setattr(masks, "_allowed", with_the_token_before)
    fails(packing_check(model, made, batch), "neighbours")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loss_that_forgets_the_documents_is_found(tmp_path, family):
    made, batch = packed(tmp_path, family)

    def leaky(model, batch):
        ones = {"segments": torch.ones_like(batch.segments)}
        if batch.decoder_segments is not None:
            ones["decoder_segments"] = torch.ones_like(batch.decoder_segments)
        return made.loss(model, replace(batch, **ones))

    fails(packing_check(tiny_model(family), replace(made, loss=leaky), batch), "neighbours")


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_that_go_on_are_found(tmp_path, family):
    """Rotary and relative positions do not show in the loss, but exceed the model's context all the same."""
    made, batch = packed(tmp_path, family)
    running = torch.arange(batch.input_ids.shape[1]).expand_as(batch.positions)
    check = packing_check(tiny_model(family), made, replace(batch, positions=running))
    fails(check, "neighbours" if family in ("gpt2", "bert") else "begins at position")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_label_that_is_lost_in_packing_is_found(tmp_path, family):
    """The states are right and the loss is not: training targets are compared too."""
    made, batch = packed(tmp_path, family)

    def first_document_only(model, batch):
        owner = batch.segments if batch.decoder_segments is None else batch.decoder_segments
        if int(owner.max()) > 1 and batch.num_targets < int((owner > 0).sum()):
            return made.loss(model, replace(batch, labels=batch.labels.masked_fill(owner > 1, IGNORE)))
        return made.loss(model, batch)

    labels = batch.labels.clone()
    labels[:, 0] = IGNORE  # the loss of fewer labels than tokens, as of conversations
    fails(
        packing_check(tiny_model(family), replace(made, loss=first_document_only), replace(batch, labels=labels)),
        "neighbours",
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_one_document_say_that_nothing_was_tested(tmp_path, family):
    made, batch = packed(tmp_path, family)
    alone = list(unpacked(batch))
    longest = max(alone, key=lambda one: one.input_ids.shape[1])
    check = packing_check(tiny_model(family), made, longest)
    assert check.state is CheckState.NOT_TESTED
    assert not check.failed
    assert "no row holds two documents" in check.detail
    assert not check.remedy


def test_padding_that_is_seen_fails_where_packing_cannot_be_tested(tmp_path):
    made, batch = packed(tmp_path, "bert")
    (one, *_) = unpacked(batch)

    def widened(tensor, fill):
        return torch.nn.functional.pad(tensor, (0, 5), value=fill)

    padded = replace(
        one,
        input_ids=widened(one.input_ids, 3),
        labels=widened(one.labels, IGNORE),
        positions=widened(one.positions, 0),
        segments=widened(one.segments, 0),
    )
    assert packing_check(tiny_model("bert"), made, padded).state is CheckState.NOT_TESTED

    def blind(model, batch):
        return token_loss(model, replace(batch, segments=torch.ones_like(batch.segments)))

    fails(packing_check(tiny_model("bert"), replace(made, loss=blind), padded), "padding")


def test_a_check_cannot_pass_untested():
    with pytest.raises(ValueError, match="say passed=False"):
        Check(name="x", passed=True, tested=False, detail="")
    assert [Check(name="x", passed=passed, detail="").state.value for passed in (True, False)] == ["passed", "failed"]


# ---------------------------------------------------------------- accumulation


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mean_a_micro_batch_is_found(tmp_path, family):
    """The classic mistake: each micro-batch divided by its own count."""
    made = objective(tmp_path, family)
    batch = made.batches.batch(0)
    labels = batch.labels.clone()
    labels[0, : labels.shape[1] // 2] = IGNORE
    batch = replace(batch, labels=labels)
    parts = [batch.rows(row, row + 1) for row in range(2)]
    assert len({part.num_targets for part in parts}) > 1
    model = tiny_model(family, dropout=DROPPING)
    assert accumulation_check(model, made, [batch], parts, settings()).passed

    def mean(model, batch):
        return made.loss(model, batch) / batch.num_targets

    fails(accumulation_check(model, replace(made, loss=mean), [batch], parts, settings()), "accumulating")


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_as_it_was(tmp_path, family):
    model = tiny_model(family, dropout=DROPPING)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert resume_check(model, objective(tmp_path, family), settings()).passed
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def resumed(folder, family, **changed):
    made = replace(objective(folder, family), **changed)
    return resume_check(tiny_model(family, dropout=DROPPING), made, settings(optimizer=OptimizerConfig()))


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_that_goes_on_drawing_is_found(tmp_path, monkeypatch, family):
    monkeypatch.setattr(loop._Run, "_seed", lambda self, step: None)
    fails(resumed(tmp_path, family), "not exact")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lost", ["exp_avg", "momentum"])
def test_a_lost_moment_is_found(tmp_path, monkeypatch, family, lost):
    """AdamW's of the embeddings, Muon's of the blocks."""
    restore, names = checkpoint._restore_optimizers, set()

    def forgetful(tensors, parameters, optimizers):
        names.update(name for name in tensors if lost in name)
        kept = {name: torch.zeros_like(value) if lost in name else value for name, value in tensors.items()}
        restore(kept, parameters, optimizers)

    monkeypatch.setattr(checkpoint, "_restore_optimizers", forgetful)
    fails(resumed(tmp_path, family), "not exact")
    assert names


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unread_checkpoint_is_found(tmp_path, monkeypatch, family):
    """Training that restarts reaches the same end as training from the start, but has not resumed."""
    monkeypatch.setattr(loop, "checkpoint_folders", lambda folder: [])
    fails(resumed(tmp_path, family), "began again at step 0")


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_that_depend_on_more_than_the_step_are_found(tmp_path, family):
    class Forgetful(FixedShape):
        """Gives other batches in each call."""

        def __init__(self):
            self.inner, self.asked = objective(tmp_path, family).batches, 0

        def __len__(self):
            return len(self.inner)

        def batch(self, index):
            self.asked += 1
            return self.inner.batch(0 if index == 0 else self.asked)

    fails(resumed(tmp_path, family, batches=Forgetful()), "not exact")
