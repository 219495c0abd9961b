"""Calibration: the right inputs reach the right matrices, and the rounded model has a smaller error."""

import copy

import pytest
import torch

from lavra.compression.calibrate import CalibrationConfig, Calibrator
from lavra.compression.rounding import round_compensated
from lavra.compression.samples import ScoredBatch, sample_text
from lavra.model.checkpoint import load_checkpoint
from lavra.model.transformer import EncoderDecoder
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model
from lavra.tokens.tokenizer import Tokenizer
from tests.model.variants import ALL, VOCAB, ours_of, theirs

FIVE = [one for one in ALL if one.name in ("gpt2", "llama-grouped", "falcon-new", "bert", "t5-v1.0", "t5-v1.1")]


def batches(model, count=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    both = isinstance(model, EncoderDecoder)

    def ids(time):
        return torch.randint(4, VOCAB, (4, time), generator=draw)

    return [
        ScoredBatch(
            input_ids=ids(24),
            decoder_input_ids=ids(17) if both else None,
            scored=torch.ones(4, 17 if both else 24, dtype=torch.bool),
            labels=ids(17 if both else 24).flatten(),
        )
        for _ in range(count)
    ]


def logits(model, asked):
    with torch.inference_mode():
        return torch.cat([model.logits(batch.hidden(model)[batch.scored]) for batch in asked])


@pytest.mark.parametrize("variant", FIVE, ids=str)
def test_every_family_errs_less_than_with_rounding_to_nearest(variant, tmp_path):
    model = ours_of(theirs(variant), tmp_path)
    asked, held = batches(model, count=16), batches(model, seed=1)
    expected = logits(model, held)
    errors = []
    for calibrated in (False, True):
        small = copy.deepcopy(model)
        options = {"make": Calibrator(small, asked)} if calibrated else {}
        quantize_model(small, SCHEMES["int4"], layout=PackedLayout.INTERCHANGE, **options)
        errors.append((logits(small, held) - expected).square().mean())
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("name", ["gpt2", "gpt2-untied"])
def test_the_head_is_rounded_over_what_it_gets(name, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    asked, weight = batches(model, count=16), model.head_weight.detach().clone()
    small = copy.deepcopy(model)
    quantize_model(small, SCHEMES["int4"], make=Calibrator(small, asked))
    with torch.no_grad():
        hidden = torch.cat([small.head_hidden(batch.hidden(small)[batch.scored]) for batch in asked])
    errors = [
        ((hidden @ (weight - rounded).T) ** 2).mean()
        for rounded in (small.head_weight, QuantizedMatrix.of(weight, SCHEMES["int4"]).dequantized())
    ]
    assert errors[0] < 0.7 * errors[1]


NAMES = {
    "llama-grouped": {
        "decoder.blocks.0.attention.query": "model.layers.0.self_attn.q_proj",
        "decoder.blocks.1.feed_forward.down": "model.layers.1.mlp.down_proj",
    },
    "t5-v1.1": {
        "encoder.blocks.1.feed_forward.up": "encoder.block.1.layer.1.DenseReluDense.wi_1",
        "decoder.blocks.0.cross_attention.value": "decoder.block.0.layer.1.EncDecAttention.v",
        "decoder.blocks.1.cross_attention.query": "decoder.block.1.layer.1.EncDecAttention.q",
    },
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_matrices_are_rounded_over_the_inputs_transformers_gives_them(name, tmp_path):
    """Eight bits change the activations very little, so the inputs equal those of the float model."""
    variant = next(one for one in FIVE if one.name == name)
    peer = theirs(variant)
    model = ours_of(theirs(variant), tmp_path)
    asked = batches(model)
    seen = {ours: [] for ours in NAMES[name]}
    for ours, hidden in NAMES[name].items():
        peer.get_submodule(hidden).register_forward_pre_hook(lambda _, given, ours=ours: seen[ours].append(given[0]))
    with torch.no_grad():
        for batch in asked:
            extra = {} if batch.decoder_input_ids is None else {"decoder_input_ids": batch.decoder_input_ids}
            peer(batch.input_ids, **extra)
    gathered = {}
    made = Calibrator(model, asked)
    enter = made._enter

    def look(block):
        enter(block)
        gathered.update(made._hessians)

    made._enter = look
    quantize_model(model, SCHEMES["int8"], layout=PackedLayout.INTERCHANGE, make=made)
    for ours, inputs in seen.items():
        x = torch.cat([one.reshape(-1, one.shape[-1]) for one in inputs]).double()
        expected = x.T @ x / len(x)
        assert (gathered[ours] - expected).abs().max() <= 0.05 * expected.abs().max()


def test_later_blocks_see_what_quantized_ones_give_them(tmp_path):
    variant = next(one for one in FIVE if one.name == "llama-grouped")
    model = ours_of(theirs(variant), tmp_path)
    asked = batches(model)
    quantize_model(model, SCHEMES["int4"], layout=PackedLayout.INTERCHANGE, make=Calibrator(model, asked))
    floats = ours_of(theirs(variant), tmp_path)
    seen = []
    last = model.get_submodule("decoder.blocks.1.attention.query")
    last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    logits(model, asked)
    x = torch.cat([one.reshape(-1, one.shape[-1]) for one in seen]).clone()
    hessian = x.double().T @ x.double() / len(x)
    weight = floats.get_submodule("decoder.blocks.1.attention.query").weight
    integers, _ = round_compensated(weight, hessian, SCHEMES["int4"], CalibrationConfig().compensation)
    assert (integers == last.matrix.integers()).double().mean() > 0.99


@pytest.mark.data
def test_a_trained_model_keeps_more_of_its_mind(stories, story):
    model, _ = load_checkpoint(stories)
    tokenizer = Tokenizer.load(stories)
    sentences = story.split(". ")
    held = sample_text(model, tokenizer, [story], max_tokens=1000).batches
    told = [". ".join(sentences[start:] + sentences[:start]) for start in range(1, 10, 2)]
    asked = sample_text(model, tokenizer, told, max_tokens=2000).batches
    before = logits(model, held).log_softmax(-1)
    divergence = []
    for calibrated in (False, True):
        small = copy.deepcopy(model)
        quantize_model(small, SCHEMES["int4"], **({"make": Calibrator(small, asked)} if calibrated else {}))
        divergence.append((before.exp() * (before - logits(small, held).log_softmax(-1))).sum(1).mean())
    assert divergence[1] < 0.7 * divergence[0]
