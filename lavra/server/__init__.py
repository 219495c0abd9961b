"""Floor 8: the HTTP edge: OpenAI's protocol over an engine, one module a group of endpoints, and a chat page."""

from typing import TYPE_CHECKING

from lavra.base.lazy import lazy_names

if TYPE_CHECKING:
    from lavra.server.app import build_app
    from lavra.server.config import ServeConfig
    from lavra.server.search.served_index import ServedIndex
    from lavra.server.served import ModelTable, ServedModel
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "ModelTable": "served",
            "ServeConfig": "config",
            "ServedIndex": "search.served_index",
            "ServedModel": "served",
            "build_app": "app",
        },
    )

__all__ = ["ModelTable", "ServeConfig", "ServedIndex", "ServedModel", "build_app"]
