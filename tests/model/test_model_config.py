"""Configurations: presets, checks, old and new rotary fields, initialisation."""

import dataclasses
import math

import pytest
import torch
import transformers as hf

from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.build import build_model
from lavra.model.config import Activation, Dropout, RelativeBiasConfig, RopeConfig, RopeScaling, Scaling
from lavra.model.families.fields import Fields
from lavra.model.families.rope import read_rope, write_rope
from lavra.model.families.table import FAMILIES, family, preset
from lavra.model.position_formulas import alibi_slopes
from lavra.model.positions import Rotary
from lavra.model.transformer import num_parameters
from tests.model.variants import ROPES

SHAPE = {"vocab_size": 128, "hidden_size": 192, "num_layers": 2, "num_heads": 3, "max_positions": 64}


@pytest.mark.parametrize("name", FAMILIES)
def test_presets_have_kernel_friendly_sizes(name):
    config = preset(name, **SHAPE)
    assert (config.vocab_size, config.hidden_size, config.num_layers, config.num_heads) == (128, 192, 2, 3)
    assert config.feed_forward_size % 64 == 0
    assert config.head_dim * config.num_heads == config.hidden_size
    assert config.family == family(name).model_type == name


def test_the_llama_preset_of_the_benchmark_has_its_size():
    config = preset("llama", vocab_size=8192, hidden_size=384, num_layers=6, num_heads=6, max_positions=256)
    assert config.feed_forward_size == 1024
    assert num_parameters(build_model(config)) == 13_767_552  # 8192 D + L (4 D^2 + 3 D F + 2 D) + D


def test_a_familys_tokenizer_is_its_papers():
    kinds = {name: family(name).tokenizer for name in FAMILIES}
    byte_level = dict.fromkeys(("gpt2", "llama", "mistral", "qwen2", "falcon"), "bpe")
    assert kinds == {**byte_level, "bert": "wordpiece", "roberta": "wordpiece", "t5": "unigram"}


def test_unknown_families_name_the_nearest():
    with pytest.raises(ConfigError, match="unknown family 'lama'; did you mean 'llama'"):
        preset("lama", **SHAPE)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; it must be over 0"),
        ({"num_kv_heads": 2}, "num_heads is 3 and num_kv_heads 2"),
        ({"rope": None}, "give rope with 'rotary'"),
        ({"relative_bias": RelativeBiasConfig()}, "give relative_bias with 'relative_bias'"),
        ({"head_dim": 63}, "head_dim is 63"),
        ({"windows": (4,)}, "windows has 1 entries for 2 layers"),
        ({"windows": (4, 0)}, "a window is at least 1 token"),
        ({"num_decoder_layers": 2}, "encoder-decoders have them"),
        ({"has_pooler": True}, "only encoders have a pooler"),
    ],
)
def test_settings_out_of_bounds(change, pattern):
    with pytest.raises(ConfigError, match=pattern):
        dataclasses.replace(preset("llama", **SHAPE), **change)


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: preset("llama", **{**SHAPE, "num_heads": 5}), "hidden_size is 192 and num_heads 5"),
        (lambda: Dropout(attention=1.0), r"dropout.attention is 1.0; it must be in \[0, 1\)"),
        (lambda: RelativeBiasConfig(num_buckets=5), "num_buckets is 5"),
        (lambda: RelativeBiasConfig(max_distance=10), "max_distance is 10"),
        (lambda: RopeConfig(theta=-1.0), "rope theta is -1.0"),
        (lambda: RopeScaling(kind=Scaling.YARN, factor=2.0), "'yarn' needs original_max_positions"),
        (lambda: RopeScaling(kind=Scaling.LLAMA3, factor=2.0, original_max_positions=8), "needs low_freq_factor"),
        (lambda: RopeScaling(kind=Scaling.LINEAR, factor=0.0), "factor is 0.0"),
    ],
)
def test_parts_out_of_bounds(make, pattern):
    with pytest.raises(ConfigError, match=pattern):
        make()


@pytest.mark.parametrize("name", ROPES)
def test_old_and_new_rotary_fields_mean_the_same(name):
    scaling = ROPES[name]
    old = {**{key: value for key, value in scaling.items() if key != "rope_type"}, "type": scaling["rope_type"]}
    new = read_rope(Fields({"rope_parameters": {**scaling, "rope_theta": 500.0}}), max_positions=64)
    assert read_rope(Fields({"rope_theta": 500.0, "rope_scaling": old}), max_positions=64) == new
    config = dataclasses.replace(preset("llama", **SHAPE), rope=new)
    written = write_rope(config)
    assert read_rope(Fields(written), max_positions=64) == new
    assert read_rope(Fields({"rope_parameters": written["rope_parameters"]}), max_positions=64) == new
    peer = hf.LlamaConfig(hidden_size=192, num_attention_heads=3, max_position_embeddings=64, **written)
    theirs = hf.models.llama.modeling_llama.LlamaRotaryEmbedding(peer)
    ours = Rotary(config, new)
    assert torch.allclose(ours.frequencies, theirs.inv_freq, rtol=1e-6)
    assert ours.attention_factor == pytest.approx(theirs.attention_scaling)


def test_yarn_without_a_factor_takes_the_ratio_of_lengths():
    rope = {"rope_type": "yarn", "original_max_position_embeddings": 16}
    assert read_rope(Fields({"rope_parameters": rope}), max_positions=64).scaling.factor == 4.0
    with pytest.raises(CheckpointError, match="has no factor"):
        read_rope(Fields({"rope_parameters": {"rope_type": "dynamic"}}), max_positions=64)


def test_frequencies_survive_casts_and_the_meta_device():
    config = preset("llama", **SHAPE)
    with torch.device("meta"):
        rotary = Rotary(config, config.rope)
    assert rotary.frequencies.device.type == "cpu"
    model = build_model(config).bfloat16()
    assert model.decoder.rotary.frequencies.dtype == torch.float32


def test_alibi_slopes_are_the_papers():
    assert alibi_slopes(8, torch).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(6, torch).tolist() == pytest.approx([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_fresh_weights_follow_the_scheme(name):
    torch.manual_seed(0)
    model = build_model(preset(name, **SHAPE))
    again = build_model(preset(name, **SHAPE))
    spreads = {key: value.std().item() for key, value in model.named_parameters() if value.dim() > 1}
    for key, value in model.named_parameters():
        assert value.isfinite().all()
        assert value.dim() > 1 or bool((value == (0.0 if key.endswith("bias") else 1.0)).all()), key
    assert not torch.equal(model.embedding.token.weight, again.embedding.token.weight)
    expected = {
        "gpt2": (0.02, 0.02 / 2), "llama": (0.02, 0.02 / 2), "mistral": (0.02, 0.02 / 2), "qwen2": (0.02, 0.02 / 2),
        "falcon": (0.02, 0.02), "bert": (192**-0.5, 192**-0.5), "roberta": (192**-0.5, 192**-0.5),
        "t5": ((192 * 64) ** -0.5, 192**-0.5),
    }[name]  # fmt: skip
    stack = "encoder" if name in ("bert", "roberta", "t5") else "decoder"
    assert spreads[f"{stack}.blocks.1.attention.query.weight"] == pytest.approx(expected[0], rel=0.05)
    assert spreads[f"{stack}.blocks.1.attention.output.weight"] == pytest.approx(expected[1], rel=0.05)
    ids = torch.arange(24).reshape(2, 12)
    logits = model(ids, ids) if name == "t5" else model(ids)
    assert 0.01 < logits.std() < 3


def test_learned_positions_of_an_encoder_start_as_sinusoids():
    position = build_model(preset("bert", **SHAPE)).embedding.position.weight.detach()
    amplitude = position[0].max().item()  # cos 0
    for row in (1, 7, 63):
        for pair in (0, 5, 95):
            angle = row / 10_000 ** (2 * pair / 192)
            sine, cosine = position[row, 2 * pair : 2 * pair + 2].tolist()
            assert (sine, cosine) == pytest.approx((amplitude * math.sin(angle), amplitude * math.cos(angle)), abs=1e-5)


def test_a_fresh_t5_prefers_what_is_near_in_the_first_head_most():
    model = build_model(preset("t5", **SHAPE))
    positions = torch.arange(12)[None]
    for stack, causal in ((model.encoder, False), (model.decoder, True)):
        bias = stack.relative_bias(positions, positions)[0].detach()  # (H, T, S)
        row = bias[:, 11, :] if causal else bias[:, 0, :].flip(-1)
        assert (row.diff(dim=-1)[:, 4:] > 0).all()
        assert (row[0, :-1] < row[1, :-1]).all()


@pytest.mark.parametrize("name", ["gpt2", "bert", "falcon", "t5"])
def test_dropout_acts_in_training_only(name):
    torch.manual_seed(0)
    every = Dropout(embedding=0.2, attention=0.2, residual=0.2, feed_forward=0.2, output=0.2)
    model = build_model(dataclasses.replace(preset(name, **SHAPE), dropout=every))
    ids = torch.arange(24).reshape(2, 12)
    given = (ids, ids) if name == "t5" else (ids,)
    model.eval()
    assert torch.equal(model(*given), model(*given))
    model.train()
    assert not torch.equal(model(*given), model(*given))


def test_gated_and_plain_activations():
    assert preset("llama", **SHAPE).activation is Activation.SILU
    assert preset("t5", **SHAPE).gated
    assert not preset("gpt2", **SHAPE).gated
    assert family("t5").preset is not None
