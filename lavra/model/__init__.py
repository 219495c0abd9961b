"""Floor 3: one Transformer core, five thin families, checkpoints that Hugging Face's libraries open."""

from typing import TYPE_CHECKING

from lavra.base.lazy import lazy_names

if TYPE_CHECKING:
    from lavra.model.build import Model, build_model
    from lavra.model.cache import KVCache
    from lavra.model.checkpoint import load_checkpoint, save_checkpoint
    from lavra.model.config import ModelConfig
    from lavra.model.families import preset
    from lavra.model.transformer import Decoder, Encoder, EncoderDecoder, num_parameters
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Decoder": "transformer",
            "Encoder": "transformer",
            "EncoderDecoder": "transformer",
            "KVCache": "cache",
            "Model": "build",
            "ModelConfig": "config",
            "build_model": "build",
            "load_checkpoint": "checkpoint",
            "num_parameters": "transformer",
            "preset": "families",
            "save_checkpoint": "checkpoint",
        },
    )

__all__ = [
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "KVCache",
    "Model",
    "ModelConfig",
    "build_model",
    "load_checkpoint",
    "num_parameters",
    "preset",
    "save_checkpoint",
]
