"""Whether a compression's original was itself rounded: then the card flatters every target of as many bits.

A model that was dequantized from four bits has at most 16 different weights in each block.  Rounding it to four bits
again in the same blocks would cost nothing, and that is not a measure of the cost for a model of full precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lavra.base.card import CARD_FILE, read_card
from lavra.model.build import Model
from lavra.model.config_files import read_config_file
from lavra.quantize.swap import linear_names

DEQUANTIZED: Final = "dequantized_from"  # field of a card's config, or of config.json: the type the weights came from
_BLOCK: Final = 32  # inputs of an output that share a scale, in GGUF's Q4 and in many others (a divisor of the rest)
_LEVELS: Final = 16
_ROWS, _MATRICES = 64, 8  # examined
_SHARE: Final = 0.99  # share of the blocks; blocks of zeros are left out


def rounded_reference(folder: Path, model: Model) -> str:
    """The earlier rounding of a model's weights, in a few words; empty where none is known.

    Args:
        folder: folder of the model; its card or config.json may name the rounding.
        model: model opened from the folder, in floats.
    """
    card = read_card(folder).config if (folder / CARD_FILE).exists() else {}
    stated = card.get(DEQUANTIZED) or read_config_file(folder).get(DEQUANTIZED)
    if stated:
        return f"it was dequantized from {stated}"
    return "its weights take at most 16 values in each block of 32, as after 4 bits" if _has_four_bits(model) else ""


def _has_four_bits(model: Model) -> bool:
    """Whether the blocks of some rows of some matrices have at most 16 different weights."""
    names = linear_names(model)
    chosen = names[:: max(1, len(names) // _MATRICES)]
    matrices = [model.get_parameter(f"{name}.weight").detach() for name in chosen]
    counts = [_distinct(weight[:_ROWS]) for weight in matrices if weight.shape[1] % _BLOCK == 0]
    found = torch.cat(counts) if counts else torch.zeros(0)
    found = found[found > 1]
    return len(found) > 0 and float((found <= _LEVELS).float().mean()) >= _SHARE


def _distinct(weight: Tensor) -> Tensor:
    """(N, K) -> (N K / 32,) different values of each block."""
    ordered = weight.float().reshape(-1, _BLOCK).sort(dim=1).values
    return 1 + (ordered.diff(dim=1) != 0).sum(dim=1)
