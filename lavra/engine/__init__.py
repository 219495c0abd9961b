"""Floor 7: many requests at once over one model: scheduler, paged key-value cache, runners, streams."""

from lavra.engine.adapters import EngineAdapter
from lavra.engine.config import EngineConfig
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.stream import EngineStream

__all__ = ["DraftModel", "Engine", "EngineAdapter", "EngineConfig", "EngineStream"]
