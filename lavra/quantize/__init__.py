"""Floor 4: smaller weights: INT8 and INT4 modules put in the place of float ones, and the folders they are saved in."""

from lavra.quantize.expand import HeldWeights, open_model
from lavra.quantize.folder import load_model, save_model, save_quantized
from lavra.quantize.scheme import SCHEMES, PackedLayout, Scheme, scheme_named
from lavra.quantize.swap import quantize_model, quantized_ratio

__all__ = [
    "SCHEMES",
    "HeldWeights",
    "PackedLayout",
    "Scheme",
    "load_model",
    "open_model",
    "quantize_model",
    "quantized_ratio",
    "save_model",
    "save_quantized",
    "scheme_named",
]
