"""An engine of the native runner over a model of torch's with its adapters: LoRA, soft prompts and prefixes.

The adapters are read by torch, and what it opened stays, for vectors; the weights are held twice.
"""

from __future__ import annotations

import logging

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.model import TextModel
from lavra.api.native_port import FLOAT_BYTES
from lavra.api.torch_serving import (
    default_cache_tokens,
    engine_adapters,
    in_process_port,
    start_torch_engine,
    usual_adapter,
)
from lavra.base.errors import InputError
from lavra.base.native_library import NativeError, native_library
from lavra.engine import Engine, EngineConfig
from lavra.engine.runners.native import BLOCK_SIZE, NativeRunner
from lavra.engine.runners.native_model import NativeModel
from lavra.engine.runners.native_twin import native_twin
from lavra.generate.in_process import InProcessModel

logger = logging.getLogger(__name__)


def start_adapted_engine(
    model: TextModel, config: EngineConfig | None, cache: ServingCacheConfig, *, root: str
) -> tuple[Engine, str]:
    """An engine over a model and its adapters, and which runner computes: torch where the native one cannot.

    Args:
        model: opened by torch, before it is fused.
        config: as of `start_engine`.
        cache: as of `start_engine`.
        root: as of `start_engine`.

    Raises:
        InputError: as `start_engine`.
    """
    port = in_process_port(model)
    twin = _twin(port)
    if twin is None or cache.block_size != BLOCK_SIZE:
        return start_torch_engine(model, config, cache, root=root), "torch"
    tokens = cache.cache_tokens or default_cache_tokens(port, cache, FLOAT_BYTES)
    runner = NativeRunner(twin, num_blocks=-(-tokens // BLOCK_SIZE), cache_type=cache.cache_type)
    engine = Engine(
        runner,
        port.whole_reading,
        stop_ids=port.stop_ids,
        config=config,
        root=root,
        adapters=engine_adapters(port),
        usual_adapter=usual_adapter(port),
    )
    return engine, "native"


def _twin(port: InProcessModel) -> NativeModel | None:
    weight, library = next(port.model.parameters()), native_library()
    if library is None or weight.device.type != "cpu":
        return None
    try:
        return native_twin(library, port.model)
    except (InputError, NativeError) as reason:
        logger.warning("torch computes the model and its adapters: %s", reason)
        return None
