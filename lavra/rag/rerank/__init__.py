"""Rerankers: passages found by a search are read together with the query and put in a better order."""

from lavra.rag.rerank.predictor import PredictorReranker

__all__ = ["PredictorReranker"]
