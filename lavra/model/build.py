"""Fresh models: the class for a configuration, and its initial weights.

The weights are drawn as the family's paper draws them, but for BERT's matrices and positions and T5's relative biases:
for these, measurements showed a better start (docs/log.md).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from lavra.model.config import Init, Kind, ModelConfig
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder, Transformer

Model = Decoder | Encoder | EncoderDecoder

# Matrices whose output is added to the residual, two a layer.
_WRITERS = ("attention.output.weight", "feed_forward.down.weight")

# Measured on small models (docs/log.md): learned positions start as sinusoids of this many `init_std`, and relative
# biases fall by this amount a bucket in the first head, and by this share of it in each further head.
_SINUSOIDS = 2.5
_STEEPEST, _FLATTER = 0.8, 3 / 8


def new_model(config: ModelConfig) -> Model:
    """A model of the configuration's kind, with weights that are not drawn yet."""
    if config.kind is Kind.DECODER:
        return Decoder(config)
    if config.kind is Kind.ENCODER:
        return Encoder(config)
    return EncoderDecoder(config)


def build_model(config: ModelConfig) -> Model:
    """A fresh model in float32, weights from torch's global random generator."""
    model = new_model(config)
    initialize(model)
    return model


@torch.no_grad()
def initialize(model: Transformer) -> None:
    """Draw every weight anew: norms 1, biases 0, matrices by `config.init`."""
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() < 2:
            nn.init.ones_(parameter)
        elif name == "embedding.position.weight" and model.config.init is Init.POST_NORM:
            parameter.copy_(_SINUSOIDS * model.config.init_std * _sinusoids(*parameter.shape))
        elif name.endswith("relative_bias.weight") and model.config.init is Init.FAN_IN:
            parameter.copy_(_nearer_first(parameter, causal=name.startswith("decoder")))
        else:
            nn.init.normal_(parameter, std=_std(name, parameter, model.config))


def _std(name: str, parameter: torch.Tensor, config: ModelConfig) -> float:
    if config.init is Init.FAN_IN:
        return config.init_std * _fan_in_std(name, parameter, config)
    if config.init is Init.POST_NORM and "embedding." not in name:
        # A branch is then as large as the stream it is added to before both are normalised.
        return 1 / math.sqrt(parameter.shape[1])
    if config.init is Init.SCALED_RESIDUAL and name.endswith(_WRITERS):
        # 2 L terms of equal variance are summed on the residual (Radford et al. 2019, section 2.3).
        return config.init_std / math.sqrt(2 * config.num_layers)
    return config.init_std


def _sinusoids(rows: int, channels: int) -> torch.Tensor:
    """(rows, channels) sines and cosines of the position, by turns (Vaswani et al. 2017, section 3.5)."""
    pairs = torch.arange(0, channels, 2) / channels
    angles = torch.arange(rows)[:, None] * 10_000.0**-pairs
    return torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(rows, -1)[:, :channels]


def _nearer_first(bias: torch.Tensor, *, causal: bool) -> torch.Tensor:
    """(buckets, H) a bias that falls with the bucket's distance, less steeply in every further head.

    The paper's start is random; a model that first has to find its neighbours learns little else meanwhile.
    """
    buckets, heads = bias.shape
    distance = torch.arange(buckets) % (buckets if causal else buckets // 2)
    slopes = _STEEPEST * _FLATTER ** torch.arange(heads)
    return -distance[:, None] * slopes


def _fan_in_std(name: str, parameter: torch.Tensor, config: ModelConfig) -> float:
    """T5's scheme: queries take the 1 / sqrt(C) that its scores lack (mesh-tensorflow; Raffel et al. 2020)."""
    if name == "embedding.token.weight":
        return 1.0
    fan_in = parameter.shape[1]
    return 1 / math.sqrt(fan_in * config.head_dim if name.endswith("query.weight") else fan_in)
