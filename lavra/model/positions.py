"""Position encodings of a Transformer, apart from learned embeddings: rotary, relative bias, ALiBi.

Rotary positions rotate each pair of query and key channels by an angle proportional to the position, so that
scores depend on distances alone (Su et al. 2021, arXiv:2104.09864); the rotation table is computed once a
forward pass and shared by all layers.  The two biases are added to the scores.

Frequencies live outside parameters and buffers: casting a model to bfloat16 must not round them.
Not here: LongRoPE and partial rotary, which no supported family uses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lavra.model.config import ModelConfig, RelativeBiasConfig, RopeConfig, Scaling
from lavra.model.position_formulas import attention_factor, exponents, scaled_frequencies


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the angles, each (B|1, T, 1, C) float32."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Rotate (B, T, H, C); the halves of C are the two coordinates of each pair (GPT-NeoX order)."""
        wide = x.float()
        first, second = wide.chunk(2, dim=-1)
        turned = wide * self.cos + torch.cat((-second, first), dim=-1) * self.sin
        return turned.to(x.dtype)


class Rotary:
    """Makes the rotation of given positions."""

    def __init__(self, config: ModelConfig, rope: RopeConfig) -> None:
        self.rope = rope
        self.head_dim = config.head_dim
        self.max_positions = config.max_positions
        self.attention_factor = attention_factor(rope.scaling)
        # Explicitly on the CPU: a model is built on the meta device before its weights are read.
        with torch.device("cpu"):
            self.frequencies = scaled_frequencies(rope, config.head_dim, torch)  # (C/2,)

    @property
    def dynamic(self) -> bool:
        """Whether frequencies depend on the length of the text."""
        return self.rope.scaling is not None and self.rope.scaling.kind is Scaling.DYNAMIC

    def __call__(self, positions: Tensor) -> Rotation:
        """The rotation of (B|1, T) integer positions."""
        frequencies = self.frequencies.to(positions.device)
        if self.dynamic:
            frequencies = self._dynamic_frequencies(positions)
        half = positions[..., None].float() * frequencies  # (B|1, T, C/2)
        angles = torch.cat((half, half), dim=-1)[:, :, None]  # (B|1, T, 1, C)
        return Rotation(angles.cos() * self.attention_factor, angles.sin() * self.attention_factor)

    def _dynamic_frequencies(self, positions: Tensor) -> Tensor:
        """(B|1, 1, C/2): the base grows with each row's own length, so a row never depends on its neighbours."""
        assert self.rope.scaling is not None
        factor, dim, limit = self.rope.scaling.factor, self.head_dim, self.max_positions
        length = (positions.amax(-1) + 1).clamp(min=limit).float()  # (B|1,)
        stretch = (factor * length / limit) - (factor - 1)
        base = self.rope.theta * stretch ** (dim / (dim - 2))
        powers: Tensor = base[:, None, None] ** exponents(dim, torch).to(positions.device)
        return 1.0 / powers


class RelativeBias(nn.Module):
    """A learned number for each head and distance bucket (Raffel et al. 2020, arXiv:1910.10683, section 2.1)."""

    def __init__(self, config: RelativeBiasConfig, num_heads: int, *, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.num_buckets, num_heads))
        self.config = config
        self.causal = causal

    def forward(self, query_positions: Tensor, key_positions: Tensor) -> Tensor:
        """(B|1, T) and (B|1, S) positions -> (B|1, H, T, S), to be added to the scores."""
        distance = key_positions[:, None, :] - query_positions[:, :, None]  # (B|1, T, S)
        values = nn.functional.embedding(self._bucket(distance), self.weight)  # (B|1, T, S, H)
        return values.permute(0, 3, 1, 2)

    def _bucket(self, distance: Tensor) -> Tensor:
        """Half of a direction's buckets are exact distances, the rest grow as powers up to `max_distance`."""
        buckets, offset = self.config.num_buckets, torch.zeros_like(distance)
        if self.causal:
            distance = (-distance).clamp(min=0)
        else:
            buckets //= 2
            offset = (distance > 0).long() * buckets
            distance = distance.abs()
        exact = buckets // 2
        # The clamp only keeps log(0) away: distances under `exact` do not use this branch.
        ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.config.max_distance / exact)
        large = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, large)


def alibi_bias(slopes: Tensor, key_positions: Tensor, scale: float) -> Tensor:
    """(H,) slopes and (B|1, S) positions -> (B|1, H, 1, S) float32, to be added to the scaled scores.

    Falcon was trained with this product rounded to bfloat16 and with the scores' scale applied to it, so it is
    computed the same way.  The key's position alone is enough: a query adds the same number to its whole row,
    which softmax ignores.
    """
    product = slopes.to(key_positions.device).bfloat16()[:, None] * key_positions[:, None, :]  # (B|1, H, S)
    return product[:, :, None, :].float() * scale
