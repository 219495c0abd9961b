"""What tells a Transformer the order of its tokens, apart from learned embeddings: rotary, relative bias, ALiBi.

Rotary positions turn each pair of query and key channels by an angle proportional to the position, so that
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

from lavra.model.config import ModelConfig, RelativeBiasConfig, RopeConfig, RopeScaling, Scaling


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the angles, each (B|1, T, 1, C) float32."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Turn (B, T, H, C); the halves of C are the two coordinates of each pair (GPT-NeoX order)."""
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
        self.attention_factor = _attention_factor(rope.scaling)
        # Explicitly on the CPU: a model is built on the meta device before its weights are read.
        with torch.device("cpu"):
            self.frequencies = scaled_frequencies(rope, config.head_dim)  # (C/2,)

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
        return 1.0 / (base[:, None, None] ** _exponents(dim).to(positions.device))


def _exponents(dim: int) -> Tensor:
    return torch.arange(0, dim, 2, dtype=torch.int64).float() / dim  # (C/2,)


def scaled_frequencies(rope: RopeConfig, dim: int) -> Tensor:
    """(C/2,) angular frequencies, in radians a token, of the lengths the model was trained for and beyond."""
    frequencies = 1.0 / (rope.theta ** _exponents(dim))
    scaling = rope.scaling
    if scaling is None or scaling.kind is Scaling.DYNAMIC:
        return frequencies
    if scaling.kind is Scaling.LINEAR:
        return frequencies / scaling.factor
    if scaling.kind is Scaling.LLAMA3:
        return _llama3(frequencies, scaling)
    return _yarn(frequencies, scaling, rope.theta, dim)


def _llama3(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Long wavelengths are stretched, short ones kept, a linear blend between (Dubey et al. 2024)."""
    length, low, high = scaling.original_max_positions, scaling.low_freq_factor, scaling.high_freq_factor
    assert length is not None
    assert low is not None
    assert high is not None
    wavelength = 2 * math.pi / frequencies
    blend = (length / wavelength - low) / (high - low)
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    stretched = torch.where(wavelength > length / low, frequencies / scaling.factor, blended)
    return torch.where(wavelength < length / high, frequencies, stretched)


def _yarn(frequencies: Tensor, scaling: RopeScaling, theta: float, dim: int) -> Tensor:
    """NTK by parts (Peng et al. 2023, arXiv:2309.00071, section 3.2)."""
    length = scaling.original_max_positions
    assert length is not None

    def dimension(rotations: float) -> float:
        """The channel that turns this many times over the original length."""
        return dim * math.log(length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    span = high - low if high != low else 0.001
    stretch = ((torch.arange(dim // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
    return frequencies / scaling.factor * stretch + frequencies * (1 - stretch)


def _attention_factor(scaling: RopeScaling | None) -> float:
    """What YaRN multiplies cosines and sines by, in place of a softmax temperature (section 3.4)."""
    if scaling is None or scaling.kind is not Scaling.YARN:
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def temperature(mscale: float) -> float:
        return 1.0 if scaling.factor <= 1 else 0.1 * mscale * math.log(scaling.factor) + 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return temperature(scaling.mscale) / temperature(scaling.mscale_all_dim)
    return temperature(1.0)


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


def alibi_slopes(num_heads: int) -> Tensor:
    """(H,) float32 slopes: a geometric series, interleaved when H is no power of two (Press et al. 2022, section 3)."""
    whole = 2 ** math.floor(math.log2(num_heads))

    def series(heads: int) -> Tensor:
        base = torch.tensor(2.0 ** (-(2.0 ** -(math.log2(heads) - 3))), dtype=torch.float32)
        return torch.pow(base, torch.arange(1, heads + 1, dtype=torch.int32))

    return torch.cat((series(whole), series(2 * whole)[0::2][: num_heads - whole]))


def alibi_bias(slopes: Tensor, key_positions: Tensor, scale: float) -> Tensor:
    """(H,) slopes and (B|1, S) positions -> (B|1, H, 1, S) float32, to be added to the scaled scores.

    Falcon was trained with this product rounded to bfloat16 and with the scores' scale applied to it, so it is
    computed the same way.  The key's position alone is enough: a query adds the same number to its whole row,
    which softmax ignores.
    """
    product = slopes.to(key_positions.device).bfloat16()[:, None] * key_positions[:, None, :]  # (B|1, H, S)
    return product[:, :, None, :].float() * scale
