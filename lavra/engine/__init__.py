"""Floor 7: many requests at once over one model: scheduler, paged key-value cache, runners, streams."""

from typing import TYPE_CHECKING

from lavra.base.lazy import lazy_names

if TYPE_CHECKING:
    from lavra.engine.adapters import EngineAdapter
    from lavra.engine.config import EngineConfig
    from lavra.engine.draft import DraftModel
    from lavra.engine.engine import Engine
    from lavra.engine.stream import EngineStream
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "DraftModel": "draft",
            "Engine": "engine",
            "EngineAdapter": "adapters",
            "EngineConfig": "config",
            "EngineStream": "stream",
        },
    )

__all__ = ["DraftModel", "Engine", "EngineAdapter", "EngineConfig", "EngineStream"]
