"""Arms of search (words, meaning), their fusion, and the stages behind it, all behind the port `Retriever`."""

from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, Expansion, Fusion, RetrievalConfig
from lavra.rag.retrievers.dense import DenseRetriever
from lavra.rag.retrievers.diverse import Diverse
from lavra.rag.retrievers.expanded import Expanded
from lavra.rag.retrievers.hybrid import HybridRetriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.retrievers.weights import LearnedWeight, learn_weights
from lavra.rag.retrievers.words import WordRetriever

__all__ = [
    "Arms",
    "DenseRetriever",
    "Diverse",
    "Expanded",
    "Expansion",
    "Fusion",
    "HybridRetriever",
    "LearnedWeight",
    "Reranked",
    "RetrievalConfig",
    "WordRetriever",
    "build_retriever",
    "learn_weights",
]
