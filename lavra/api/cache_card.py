"""The quality card of a key-value cache in fewer bits: one model, read through two caches of the engine's.

Two runners read the text as the engine reads prompts, some blocks at a time.  They differ only in the type of their
blocks: the type of the weights, and the smaller type.  Every key and value is read back from its block, the newest
too, so attention's inputs are rounded from the first token on, as they are where the engine writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

import torch

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.native_port import bytes_per_token
from lavra.api.serving import start_engine
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Progress
from lavra.compression.answers import num_blocks, runner_answers
from lavra.compression.card import BARS, QualityCard, write_quality
from lavra.compression.config import CompressConfig, Form
from lavra.compression.folder import heldout_sample, write_identity, written_per_second
from lavra.compression.measure import compare_answers
from lavra.compression.texts import Texts
from lavra.engine.config import CacheType
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS
from lavra.model.transformer import Encoder

_BLOCK: Final = ServingCacheConfig().block_size


def measure_cache(
    source: Path, out: Path, config: CompressConfig, heldout: Texts, progress: Progress | None = None
) -> QualityCard:
    """Measure the quality that a smaller cache costs a model, and write the card.

    Args:
        source: a model folder, quantized or not.
        out: folder of the card alone; appears whole or not at all.
        config: the type of the cache, and the amount of text.
        heldout: text to measure on.
        progress: called with the number of finished tokens.

    Raises:
        QualityError: the cost exceeds a bar, and `allow_miss` is off.
        InputError: the model has no such cache, or there is too little held-out text.
    """
    if config.target.form is not Form.CACHE:
        raise ConfigError(f"{config.to} is not a cache; give kv-int8 or kv-bf16")
    if out.resolve() == source.resolve():
        raise InputError(f"{out} is the model itself; name another folder with `out`")
    opened = load(source, dtype=torch.float32, device="cpu", runner="torch")
    assert isinstance(opened.port, InProcessModel)
    model, settings, kind = opened.port.model, opened.port.config, cast(CacheType, config.target.detail)
    if isinstance(model, Encoder):
        raise InputError(f"{source} is an encoder, which reads a text at once and keeps no cache")
    if opened.port.front != NO_VIRTUAL_TOKENS:
        raise InputError(f"{source} is a soft prompt or prefix; measure the cache of the model it is over")
    sample = heldout_sample(model, opened.port.tokenizer, heldout, config.heldout_tokens)
    before, after = (bytes_per_token(settings, 4, cache) for cache in _both(kind))
    most = num_blocks(sample, _BLOCK)
    runners = [TorchRunner(model, settings, num_blocks=most, block_size=_BLOCK, cache_type=one) for one in _both(kind)]
    card = QualityCard(
        target=config.to,
        layout="",
        family=settings.family,
        calibration="none",
        text=heldout.name,
        source_bytes=before,
        bytes=after,
        matrix_ratio=after / before,
        source_written_per_second=_written_per_second(opened, "model", heldout),
        written_per_second=_written_per_second(opened, kind, heldout),
        comparison=compare_answers(runner_answers(runners, sample), sample, progress),
        bars=BARS[config.to],
        allowed_miss=config.allow_miss,
    )
    card.check()
    with atomic_folder(out) as work:
        write_quality(card, work)
        write_identity(source, work, config, card, kind="quality")
    return card


def _both(kind: CacheType) -> tuple[CacheType, CacheType]:
    return "model", kind


def _written_per_second(model: TextModel, kind: CacheType, heldout: Texts) -> float:
    """Tokens that the engine writes in a second for one caller, through such a cache."""
    with start_engine(model, cache=ServingCacheConfig(cache_type=kind)) as engine:
        return written_per_second(engine, heldout)
