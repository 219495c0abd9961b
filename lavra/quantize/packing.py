"""Four-bit integers two to a byte.

Input 2j of an output is the low half of its byte j and input 2j + 1 the high half, each with 8 added.  Read as
little-endian 32-bit words this is the packing of compressed-tensors; the same goes for eight bits with 128 added.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

assert sys.byteorder == "little", "packed weights are read as little-endian words"


def pack(integers: Tensor, bits: int) -> Tensor:
    """(N, K) int8 in range -> (N, K * bits / 8) uint8."""
    shifted = (integers.to(torch.int16) + (1 << bits - 1)).to(torch.uint8)
    if bits == 8:
        return shifted
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def unpack(packed: Tensor, bits: int) -> Tensor:
    """(N, K * bits / 8) uint8 -> (N, K) int8."""
    if bits == 4:
        packed = torch.stack((packed & 15, packed >> 4), dim=2).flatten(1)
    return (packed.to(torch.int16) - (1 << bits - 1)).to(torch.int8)


def to_words(packed: Tensor) -> Tensor:
    """(N, M) uint8 -> (N, ceil(M / 4)) int32, the missing bytes of the last word zero."""
    padded = torch.nn.functional.pad(packed, (0, -packed.shape[1] % 4))
    return padded.contiguous().view(torch.int32)


def from_words(words: Tensor, num_bytes: int) -> Tensor:
    """(N, ceil(M / 4)) int32 -> (N, M) uint8, the way back from `to_words`."""
    return words.contiguous().view(torch.uint8)[:, :num_bytes].contiguous()
