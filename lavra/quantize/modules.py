"""The modules that stand where a linear layer, an embedding or a head stood.

Products use exactly the stored values: a matrix is turned back into floats a stretch of rows at a time and multiplied
by the machine's float product.  On a CPU without AVX-512 PyTorch's own integer products are slower than that, up to 72
times (docs/log.md), so they are not used; where the inputs are rounded too, integers are multiplied as floats, in
stretches short enough that every sum is exact.

Speed on a CPU is the native runner's business; this is the reference it is held to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lavra.model.transformer import Head
from lavra.quantize.packing import pack, unpack
from lavra.quantize.rounding import SCALE_DTYPE, choose_scales, pad_columns, round_inputs, to_integers, to_weight
from lavra.quantize.scheme import Scheme

_ROWS_AT_ONCE = 4096  # rows of a matrix turned into floats at once: a whole vocabulary would be larger than the model
_EXACT_PRODUCTS = 1024  # 1024 * 128 * 128 = 2^24: float32 holds every such sum of int8 products exactly


class QuantizedMatrix(nn.Module):
    """An (N, K) matrix of packed integers and their scales.

    Args:
        rows: N.
        columns: K.
        scheme: the scheme of the weights.
    """

    packed: Tensor
    scale: Tensor

    def __init__(self, rows: int, columns: int, scheme: Scheme) -> None:
        super().__init__()
        self.rows, self.columns, self.scheme = rows, columns, scheme
        self.dtype = torch.float32  # type of its floats, by default
        self.register_buffer("packed", torch.zeros(rows, scheme.padded(columns) * scheme.bits // 8, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(rows, scheme.num_groups(columns), dtype=SCALE_DTYPE))

    @classmethod
    def of(cls, weight: Tensor, scheme: Scheme) -> QuantizedMatrix:
        """A float matrix (N, K), rounded."""
        made = cls(weight.shape[0], weight.shape[1], scheme)
        made.dtype = weight.dtype
        scale = choose_scales(weight.detach(), scheme)
        made.set(to_integers(weight.detach(), scale, scheme), scale)
        return made

    def set(self, integers: Tensor, scale: Tensor) -> None:
        """Take (N, K) integers and (N, G) scales."""
        self.packed = pack(pad_columns(integers, self.scheme.padded(self.columns)), self.scheme.bits)
        self.scale = scale.contiguous()

    @property
    def num_bytes(self) -> int:
        """Bytes of integers and scales."""
        return self.packed.nbytes + self.scale.nbytes

    def integers(self) -> Tensor:
        """The integers, (N, K) int8."""
        return self._unpacked(self.packed)

    def dequantized(self, dtype: torch.dtype | None = None) -> Tensor:
        """(N, K) in floats: a whole copy of the matrix."""
        return to_weight(self.integers(), self.scale, self.scheme, dtype or self.dtype)

    def lookup(self, ids: Tensor) -> Tensor:
        """(...) row numbers -> (..., K)."""
        flat = ids.flatten()
        rows = to_weight(self._unpacked(self.packed[flat]), self.scale[flat], self.scheme, self.dtype)
        return rows.view(*ids.shape, self.columns)

    def linear(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(..., K) -> (..., N): x times the matrix transposed, plus a bias (N,)."""
        multiply = self._multiply_rounded if self.scheme.rounds_inputs else self._multiply
        out = multiply(x).to(x.dtype)
        return out if bias is None else out + bias

    def _unpacked(self, packed: Tensor) -> Tensor:
        return unpack(packed, self.scheme.bits)[:, : self.columns]

    def _multiply(self, x: Tensor) -> Tensor:
        parts = zip(torch.split(self.packed, _ROWS_AT_ONCE), torch.split(self.scale, _ROWS_AT_ONCE), strict=True)
        return torch.cat(
            [
                functional.linear(x, to_weight(self._unpacked(packed), scale, self.scheme, x.dtype))
                for packed, scale in parts
            ],
            dim=-1,
        )

    def _multiply_rounded(self, x: Tensor) -> Tensor:
        """Integer products, exactly; the scales come last."""
        rounded, token_scale = round_inputs(x)
        parts = []
        for packed, scale in zip(
            torch.split(self.packed, _ROWS_AT_ONCE), torch.split(self.scale, _ROWS_AT_ONCE), strict=True
        ):
            weight = self._unpacked(packed).float()
            pieces = zip(
                torch.split(rounded, _EXACT_PRODUCTS, -1), torch.split(weight, _EXACT_PRODUCTS, -1), strict=True
            )
            parts.append(sum(functional.linear(a, b) for a, b in pieces) * scale.float().squeeze(1))
        return torch.cat(parts, dim=-1) * token_scale


class QuantizedLinear(nn.Module):
    """(..., K) -> (..., N), in the place of `nn.Linear`."""

    def __init__(self, matrix: QuantizedMatrix, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return self.matrix.linear(x, self.bias)


class QuantizedEmbedding(nn.Module):
    """(...) ids -> (..., D), in the place of the token embedding."""

    def __init__(self, matrix: QuantizedMatrix) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., D)."""
        return self.matrix.lookup(ids)

    @property
    def weight(self) -> Tensor:
        """(V, D) in floats, made anew at each access."""
        return self.matrix.dequantized()


class QuantizedHead(Head):
    """A head whose matrix is quantized: its own, or the embedding's when they are tied."""

    def __init__(self, head: Head, matrix: QuantizedMatrix | None) -> None:
        nn.Module.__init__(self)
        self.scale, self.activate = head.scale, head.activate
        self.dense, self.norm, self.bias = head.dense, head.norm, head.bias
        self.matrix = matrix

    @property
    def weight(self) -> Tensor | None:  # type: ignore[override]
        """(V, D) in floats; `None` when it is the embedding's."""
        return None if self.matrix is None else self.matrix.dequantized()

    def project(self, hidden: Tensor, tied: nn.Embedding) -> Tensor:
        """(..., D), made ready -> (..., V)."""
        matrix = tied.matrix if self.matrix is None else self.matrix
        assert isinstance(matrix, QuantizedMatrix)
        return matrix.linear(hidden, self.bias)
