"""Floor 4: smaller weights: INT8 and INT4 modules put in the place of float ones, and the folders they are saved in."""

from typing import TYPE_CHECKING

from lavra.base.lazy import lazy_names

if TYPE_CHECKING:
    from lavra.quantize.expand import open_model
    from lavra.quantize.folder import load_model, save_model, save_quantized
    from lavra.quantize.held import HeldWeights
    from lavra.quantize.scheme import SCHEMES, PackedLayout, Scheme, scheme_named
    from lavra.quantize.swap import quantize_model, quantized_ratio
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "SCHEMES": "scheme",
            "HeldWeights": "held",
            "PackedLayout": "scheme",
            "Scheme": "scheme",
            "load_model": "folder",
            "open_model": "expand",
            "quantize_model": "swap",
            "quantized_ratio": "swap",
            "save_model": "folder",
            "save_quantized": "folder",
            "scheme_named": "scheme",
        },
    )

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
