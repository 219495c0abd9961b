"""Operations against PyTorch's own counter; bytes against those that autograd and the optimizers really hold."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lavra.model.block import Block
from lavra.model.build import build_model
from lavra.train.config import OptimizerConfig
from lavra.train.estimate import memory_limit, module_memory, training_flops, training_memory
from lavra.train.loop import block_matrices
from lavra.train.optim import build_optimizers
from tests.train.test_checks import objective
from tests.train.tiny import settings, tiny_config

FAMILIES = ["llama", "gpt2", "falcon", "bert", "t5"]


@pytest.mark.parametrize("family", FAMILIES)
def test_operations_are_those_pytorch_counts(tmp_path, family):
    """Attention's backward recomputes its scores, which no convention counts: only products of weights are compared."""
    config, made = tiny_config(family), objective(tmp_path, family)
    batch, model = made.batches.batch(0), build_model(tiny_config(family))
    counter = FlopCounterMode(display=False)
    with counter:
        made.loss(model, batch).backward()
    names = ("aten.mm", "aten.addmm")
    counted = sum(flops for op, flops in counter.get_flop_counts()["Global"].items() if str(op) in names)
    attention = 3 * 2 * 2 * config.num_heads * config.head_dim * len(batch.sample_ids)
    source = batch.input_ids.shape[1]
    pairs = config.num_layers * source * source
    if batch.decoder_input_ids is not None:
        target = batch.decoder_input_ids.shape[1]
        pairs += config.num_decoder_layers * (target * target + target * source)
    assert training_flops(config, batch) - attention * pairs == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_gradients_and_optimizer_state_are_what_is_there(tmp_path, family, kind):
    config, made = tiny_config(family), objective(tmp_path, family)
    batch, model = made.batches.batch(0), build_model(config)
    optimizers = build_optimizers(model.named_parameters(), block_matrices(model), OptimizerConfig(kind=kind))
    made.loss(model, batch).backward()
    for optimizer in optimizers:
        optimizer.step()
    parameters = list(model.parameters())
    state = [v for o in optimizers for values in o.state.values() for v in values.values() if v.ndim]
    found = training_memory(config, settings(optimizer=OptimizerConfig(kind=kind)), batch, compiled=False)
    assert found.weights == sum(p.nbytes for p in parameters)
    assert found.gradients == sum(p.grad.nbytes for p in parameters)
    assert found.optimizer == sum(v.nbytes for v in state)


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_what_autograd_keeps(tmp_path, family):
    """The same count on real tensors, by data pointer."""
    config, made = tiny_config(family), objective(tmp_path, family)
    batch, model = made.batches.batch(0), build_model(config)
    owned = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        if batch.decoder_input_ids is None:
            model.hidden(batch.input_ids, positions=batch.positions, segments=batch.segments)
        else:
            encoded = model.encode(batch.input_ids, segments=batch.segments)
            model.decode(
                batch.decoder_input_ids, encoded, segments=batch.segments, decoder_segments=batch.decoder_segments
            )
        real = sum(storage.nbytes() for storage in kept.values())
    assert training_memory(config, settings(), batch, compiled=False).activations == pytest.approx(real, rel=0.05)


def test_recomputing_holds_every_block_input_and_one_block_whole(tmp_path):
    batch = objective(tmp_path, "llama", rows=4).batches.batch(0)

    def activations(layers, checkpointing):
        wanted = settings(activation_checkpointing=checkpointing)
        return training_memory(tiny_config(layers=layers), wanted, batch, compiled=False).activations

    whole_block = activations(2, False) - activations(1, False)
    grown = activations(12, True) - activations(4, True)
    width = tiny_config().hidden_size
    one_input = batch.input_ids.numel() * width * 4
    assert grown == 8 * one_input  # at the worst moment, of the last block, no gradient of an earlier one is there
    assert whole_block < activations(2, True) < 3 * whole_block


def test_checkpointing_and_fewer_rows_take_less(tmp_path):
    config, batch = tiny_config(layers=12), objective(tmp_path, "llama", rows=4).batches.batch(0)

    def total(rows=4, **changes):
        return training_memory(config, settings(**changes), batch.rows(0, rows), compiled=False)

    assert total(activation_checkpointing=True).activations < 0.5 * total().activations
    assert total(rows=1).activations < 0.4 * total().activations
    assert total().total == sum(size for _, size in total().rows()[:4]) + max(
        total().activations + total().loss, total().update
    )


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_is_there_is_estimated_as_one_that_is_not(tmp_path, family, kind):
    """One pass on real tensors, loss included, and one on fake tensors with a formula for the loss."""
    config, made = tiny_config(family), objective(tmp_path, family)
    wanted, model = settings(optimizer=OptimizerConfig(kind=kind)), build_model(config)
    planned = training_memory(config, wanted, made.batches.batch(0), compiled=False)
    there = module_memory(model, made, wanted)
    for name in ("weights", "gradients", "optimizer", "update"):
        assert getattr(there, name) == getattr(planned, name), name
    assert there.activations + there.loss == pytest.approx(planned.activations + planned.loss, rel=0.15)
    assert (
        there.total
        < planned.total
        == there.total + planned.process - (there.activations + there.loss - planned.activations - planned.loss)
    )
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_have_no_gradient(tmp_path):
    made, model = objective(tmp_path, "llama"), build_model(tiny_config())
    whole = module_memory(model, made, settings(optimizer=OptimizerConfig(kind="muon")))
    next(part for part in model.modules() if isinstance(part, Block)).requires_grad_(False)
    part = module_memory(model, made, settings(optimizer=OptimizerConfig(kind="muon")))
    frozen = sum(one.nbytes for one in model.parameters() if not one.requires_grad)
    assert part.weights == whole.weights
    assert whole.gradients - part.gradients == frozen > 0
    assert whole.optimizer - frozen >= part.optimizer >= whole.optimizer - 2 * frozen
    assert part.training == part.gradients + part.optimizer


def test_a_tenth_is_left_to_others():
    assert memory_limit(1000) == 900
