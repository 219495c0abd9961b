"""Tuning: learned values are stored unchanged, and the model comes nearer to the original."""

import copy

import pytest
import torch

import lavra
from lavra.base.errors import ConfigError
from lavra.compression.calibrate import Calibrator
from lavra.compression.samples import sample_text
from lavra.compression.tune import TuneConfig, TunedMatrix, tune
from lavra.model.checkpoint import load_checkpoint
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model, quantized_matrices
from lavra.tokens.tokenizer import Tokenizer
from tests.compression.test_calibrate import FIVE, batches, logits
from tests.model.variants import ours_of, theirs


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_before_the_first_step_it_computes_what_was_stored(name):
    draw = torch.Generator().manual_seed(0)
    matrix = QuantizedMatrix.of(torch.randn(20, 43, generator=draw), SCHEMES[name])
    learned, x = TunedMatrix(matrix), torch.randn(5, 43, generator=draw)
    assert torch.allclose(learned.linear(x), matrix.linear(x), atol=1e-5)
    assert torch.equal(learned.lookup(torch.tensor([3, 0])), matrix.lookup(torch.tensor([3, 0])))
    assert torch.equal(learned.settled().packed, matrix.packed)
    assert torch.equal(learned.settled().scale, matrix.scale)


def test_learned_values_are_stored():
    draw = torch.Generator().manual_seed(0)
    learned = TunedMatrix(QuantizedMatrix.of(torch.randn(20, 64, generator=draw), SCHEMES["int4"]))
    with torch.no_grad():
        learned.latent += 3 * torch.randn(20, 64, generator=draw)
        learned.growth += 0.2 * torch.randn(20, 2, generator=draw)
    settled, x = learned.settled(), torch.randn(5, 64, generator=draw)
    assert settled.integers().min() == -8
    assert settled.integers().max() == 7
    expected = learned.linear(x)
    assert (settled.linear(x) - expected).abs().max() <= 2**-7 * expected.abs().max()  # scales in bfloat16


@pytest.mark.parametrize("layout", PackedLayout)
@pytest.mark.parametrize("variant", FIVE, ids=str)
def test_every_family_comes_nearer_to_the_original(variant, layout, tmp_path):
    model = ours_of(theirs(variant), tmp_path)
    asked = batches(model, count=2)
    before = logits(model, asked).log_softmax(-1)
    small = copy.deepcopy(model)
    quantize_model(small, SCHEMES["int4"], layout=layout)

    def divergence():
        return float((before.exp() * (before - logits(small, asked).log_softmax(-1))).sum(1).mean())

    start, told = divergence(), []
    tune(small, model, asked, TuneConfig(steps=12), lambda *told_now: told.append(told_now))
    assert divergence() < 0.8 * start
    assert told[-1] == ("tune", 12, 12)
    assert not any(isinstance(matrix, TunedMatrix) for _, matrix in quantized_matrices(small))
    assert not any(parameter.requires_grad for parameter in small.parameters())


@pytest.mark.slow
@pytest.mark.data
def test_a_trained_model_comes_nearer_on_text_it_did_not_learn_from(stories):
    """Both texts are the model's own stories, sampled from different seeds."""
    teller, (model, _) = lavra.load(stories), load_checkpoint(stories)
    held, asked = (
        sample_text(
            model,
            Tokenizer.load(stories),
            [one.text for one in teller.n_best("", count, max_tokens=250, temperature=1.0, seed=count)],
            max_tokens=6_000,
        ).batches
        for count in (8, 24)
    )
    before = logits(model, held).log_softmax(-1)
    small = copy.deepcopy(model)
    quantize_model(small, SCHEMES["int4"], make=Calibrator(small, asked))
    found = []
    for _ in range(2):
        found.append(float((before.exp() * (before - logits(small, held).log_softmax(-1))).sum(1).mean()))
        tune(small, model, asked, TuneConfig(steps=30))
    assert found[1] < 0.9 * found[0]


def test_untunable_models_are_refused(minilm, tmp_path):
    model, _ = load_checkpoint(minilm)
    with pytest.raises(ConfigError, match="without a head"):
        tune(model, model, [])
    model = ours_of(theirs(FIVE[0]), tmp_path)
    small = copy.deepcopy(model)
    quantize_model(small, SCHEMES["int8-dynamic"])
    with pytest.raises(ConfigError, match="rounds inputs"):
        tune(small, model, [])
    with pytest.raises(ConfigError, match="steps is 0"):
        TuneConfig(steps=0)
