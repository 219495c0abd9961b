"""Every family and variant as a small random `transformers` model with logits that are far from flat."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers as hf

from lavra.model.checkpoint import load_checkpoint
from lavra.model.transformer import EncoderDecoder

VOCAB = 96
PAD = 1
ROPES = {
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn-tuned": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "mscale": 1.3,
        "mscale_all_dim": 0.7,
        "truncate": False,
    },
    "yarn-factor": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "attention_factor": 1.7,
    },
}


@dataclass(frozen=True)
class Variant:
    name: str
    config: Callable[[], hf.PreTrainedConfig]
    model: type

    def __str__(self):
        return self.name


def _decoder(config, **settings):
    sizes = {
        "vocab_size": VOCAB,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    return lambda: config(**{**sizes, **settings})


def _llama(name, **settings):
    return Variant(name, _decoder(hf.LlamaConfig, intermediate_size=96, **settings), hf.LlamaForCausalLM)


def _gpt2(name, **settings):
    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": VOCAB, "pad_token_id": PAD}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return Variant(name, lambda: hf.GPT2Config(**{**sizes, **dropout, **settings}), hf.GPT2LMHeadModel)


def _falcon(name, **settings):
    return Variant(name, _decoder(hf.FalconConfig, **settings), hf.FalconForCausalLM)


def _bert(name, config, model, **settings):
    sizes = {"intermediate_size": 96, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return Variant(name, _decoder(config, **{**sizes, **settings}), model)


def _t5(name, **settings):
    sizes = {
        "vocab_size": VOCAB,
        "d_model": 64,
        "d_kv": 12,
        "d_ff": 96,
        "num_layers": 2,
        "num_heads": 4,
        "pad_token_id": PAD,
        "decoder_start_token_id": PAD,
        "dropout_rate": 0.0,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
    }
    return Variant(name, lambda: hf.T5Config(**{**sizes, **settings}), hf.T5ForConditionalGeneration)


DECODERS = [
    _llama("llama"),
    _llama("llama-grouped", num_key_value_heads=2, head_dim=24),
    _llama("llama-multi-query-tied", num_key_value_heads=1, tie_word_embeddings=True),
    _llama("llama-biased", attention_bias=True, mlp_bias=True),
    *(_llama(f"llama-rope-{name}", rope_parameters={**rope, "rope_theta": 500.0}) for name, rope in ROPES.items()),
    Variant(
        "mistral",
        _decoder(hf.MistralConfig, intermediate_size=96, num_key_value_heads=2, sliding_window=5),
        hf.MistralForCausalLM,
    ),
    Variant(
        "mistral-no-window",
        _decoder(hf.MistralConfig, intermediate_size=96, num_key_value_heads=2, sliding_window=None),
        hf.MistralForCausalLM,
    ),
    Variant("qwen2", _decoder(hf.Qwen2Config, intermediate_size=96, num_key_value_heads=2), hf.Qwen2ForCausalLM),
    Variant(
        "qwen2-windows",
        _decoder(
            hf.Qwen2Config,
            intermediate_size=96,
            num_key_value_heads=2,
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=1,
        ),
        hf.Qwen2ForCausalLM,
    ),
    _gpt2("gpt2"),
    _gpt2("gpt2-untied", tie_word_embeddings=False, n_inner=80, activation_function="gelu"),
    _gpt2("gpt2-scaled-by-layer", scale_attn_by_inverse_layer_idx=True),
    _gpt2("gpt2-unscaled", scale_attn_weights=False),
    _falcon("falcon-7b"),
    _falcon("falcon-new", new_decoder_architecture=True, num_kv_heads=2),
    _falcon("falcon-new-one-norm", new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1),
    _falcon("falcon-multi-head", multi_query=False, bias=True),
    _falcon("falcon-in-sequence", parallel_attn=False, tie_word_embeddings=False),
    _falcon("falcon-alibi", alibi=True, multi_query=False, bias=True, parallel_attn=False),
    _falcon("falcon-alibi-six-heads", alibi=True, hidden_size=96, num_attention_heads=6),
]
ENCODERS = [
    _bert("bert", hf.BertConfig, hf.BertForMaskedLM),
    _bert("bert-relu-head", hf.BertConfig, hf.BertForMaskedLM, hidden_act="gelu_new"),
    _bert("roberta", hf.RobertaConfig, hf.RobertaForMaskedLM, type_vocab_size=1, max_position_embeddings=66),
    _bert(
        "roberta-tanh",
        hf.RobertaConfig,
        hf.RobertaForMaskedLM,
        type_vocab_size=1,
        max_position_embeddings=66,
        hidden_act="gelu_new",
    ),
]
ENCODER_DECODERS = [
    _t5("t5-v1.0"),
    _t5("t5-v1.0-asymmetric", num_decoder_layers=1),
    _t5("t5-v1.1", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    _t5("t5-gated-silu", feed_forward_proj="gated-silu"),
]
ALL = [*DECODERS, *ENCODERS, *ENCODER_DECODERS]


def theirs(variant):
    """The `transformers` model without dropout, with weights large enough for uneven logits; a fresh copy."""
    return copy.deepcopy(_made(variant))


@functools.cache
def _made(variant):
    torch.manual_seed(0)
    model = variant.model(variant.config())
    if variant.name == "t5-v1.1":  # transformers 5 ties every fresh T5; Flan's checkpoints are not tied
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale_weights(name, parameter)
    return model.eval()


def scale_weights(name, parameter):
    if parameter.dim() < 2 and name.endswith("bias"):
        parameter.uniform_(-0.3, 0.3)
    elif parameter.dim() < 2:
        parameter.uniform_(0.6, 1.4)
    elif name.startswith("shared"):  # T5 v1.0 divides the head's input by sqrt(D)
        parameter.normal_(0, 1.3)
    else:
        parameter.normal_(0, 0.17)


def save_theirs(model, folder, **settings):
    model.save_pretrained(folder, **settings)
    return folder


def ours_of(model, folder, **settings):
    """Our model from the folder of `save_pretrained`."""
    return load_checkpoint(save_theirs(model, folder), **settings)[0]


def inputs(model, seed=1, batch=3, time=24):
    """Ids without padding; for an encoder-decoder, also the decoder's."""
    generator = torch.Generator().manual_seed(seed)
    ids = {"input_ids": torch.randint(4, VOCAB, (batch, time), generator=generator)}
    if isinstance(model, EncoderDecoder):
        ids["decoder_input_ids"] = torch.randint(4, VOCAB, (batch, time - 7), generator=generator)
    return ids


def right_padded(ids, lengths=(24, 17, 9)):
    """The same ids with the ends of rows replaced by padding, and the mask."""
    mask = torch.arange(ids["input_ids"].shape[1])[None] < torch.tensor(lengths)[:, None]
    return {**ids, "input_ids": ids["input_ids"].masked_fill(~mask, PAD)}, mask
