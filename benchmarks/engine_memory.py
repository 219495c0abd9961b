"""Memory of a process that has opened an engine and written a text, and its limit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lavra.api.cache_config import ServingCacheConfig
from lavra.api.load import load
from lavra.api.native_port import bytes_per_token
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest
from lavra.generate.in_process import InProcessModel

CACHE_TOKENS = 2048
SHARE, MEGABYTES = 1.6, 300  # times the stored weights, and MB for the interpreter, torch and buffers


def print_memory(folder: str) -> None:
    """Print resident memory, where Linux reports it, and its limit, in MB."""
    model = load(folder, device="cpu", runner="torch")
    assert isinstance(model.port, InProcessModel)
    assert model.held is not None
    weight = next(model.port.model.parameters())
    blocks = CACHE_TOKENS * bytes_per_token(model.port.config, weight.dtype.itemsize, "model")
    with start_engine(model, cache=ServingCacheConfig(cache_tokens=CACHE_TOKENS)) as engine:
        engine.generate([GenerateRequest(prompt=tuple(range(300, 400)), max_tokens=16)])
        path = Path("/proc/self/statm")
        found = int(path.read_text().split()[1]) * 4096 if path.exists() else 0
    at_most = (SHARE * model.held.num_bytes + blocks) / 1e6 + MEGABYTES
    sys.stdout.write(json.dumps({"MB": found / 1e6, "MB at most": at_most}) + "\n")
