"""Rotary frequencies, their stretching beyond the trained length, and ALiBi's slopes: formulas alone.

They are written once for arrays of torch and of NumPy, in float32: the module of either is handed in (`arrays`).
`positions.py` turns vectors by them with torch, the native runner in C++.
"""

from __future__ import annotations

import math
from typing import Any

from lavra.model.config import RopeConfig, RopeScaling, Scaling


def exponents(dim: int, arrays: Any) -> Any:
    """(C/2,) exponents of the geometric series, from 0 to under 1."""
    return arrays.arange(0, dim, 2, dtype=arrays.float32) / dim


def scaled_frequencies(rope: RopeConfig, dim: int, arrays: Any) -> Any:
    """(C/2,) angular frequencies, in radians a token, of the lengths the model was trained for and beyond."""
    frequencies = 1.0 / (rope.theta ** exponents(dim, arrays))
    scaling = rope.scaling
    if scaling is None or scaling.kind is Scaling.DYNAMIC:
        return frequencies
    if scaling.kind is Scaling.LINEAR:
        return frequencies / scaling.factor
    if scaling.kind is Scaling.LLAMA3:
        return _llama3(frequencies, scaling, arrays)
    return _yarn(frequencies, scaling, rope.theta, dim, arrays)


def _llama3(frequencies: Any, scaling: RopeScaling, arrays: Any) -> Any:
    """Long wavelengths are stretched, short ones kept, a linear blend between (Dubey et al. 2024)."""
    length, low, high = scaling.original_max_positions, scaling.low_freq_factor, scaling.high_freq_factor
    assert length is not None
    assert low is not None
    assert high is not None
    wavelength = 2 * math.pi / frequencies
    blend = (length / wavelength - low) / (high - low)
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    stretched = arrays.where(wavelength > length / low, frequencies / scaling.factor, blended)
    return arrays.where(wavelength < length / high, frequencies, stretched)


def _yarn(frequencies: Any, scaling: RopeScaling, theta: float, dim: int, arrays: Any) -> Any:
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
    stretch = ((arrays.arange(dim // 2, dtype=arrays.float32) - low) / span).clip(0, 1)
    return frequencies / scaling.factor * stretch + frequencies * (1 - stretch)


def attention_factor(scaling: RopeScaling | None) -> float:
    """YaRN's factor of cosines and sines, in place of a softmax temperature (section 3.4)."""
    if scaling is None or scaling.kind is not Scaling.YARN:
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def temperature(mscale: float) -> float:
        return 1.0 if scaling.factor <= 1 else 0.1 * mscale * math.log(scaling.factor) + 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return temperature(scaling.mscale) / temperature(scaling.mscale_all_dim)
    return temperature(1.0)


def alibi_slopes(num_heads: int, arrays: Any) -> Any:
    """(H,) slopes: a geometric series, interleaved when H is not a power of two (Press et al. 2022, section 3).

    Powers of torch's float32 are float32, of NumPy's float64.
    """
    whole = 2 ** math.floor(math.log2(num_heads))

    def series(heads: int) -> Any:
        base = arrays.asarray(2.0 ** (-(2.0 ** -(math.log2(heads) - 3))), dtype=arrays.float32)
        return arrays.pow(base, arrays.arange(1, heads + 1, dtype=arrays.int32))

    return arrays.concat((series(whole), series(2 * whole)[0::2][: num_heads - whole]))
