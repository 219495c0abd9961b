"""Floor 1: clients of models behind a URL that the user names; nothing here is asked for unless it is named."""

from lavra.remote.config import RemoteConfig
from lavra.remote.connection import RemoteError
from lavra.remote.embeddings import EmbeddingApi, EmbeddingPurpose, RemoteEmbedder, RemoteEmbeddingConfig
from lavra.remote.model import RemoteModel
from lavra.remote.reranking import RemoteReranker

__all__ = [
    "EmbeddingApi",
    "EmbeddingPurpose",
    "RemoteConfig",
    "RemoteEmbedder",
    "RemoteEmbeddingConfig",
    "RemoteError",
    "RemoteModel",
    "RemoteReranker",
]
