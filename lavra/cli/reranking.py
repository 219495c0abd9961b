"""How the verbs open a reranker, and search an index as tuning chose."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.api.identity import model_files
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.ports import Reranker, Retriever
from lavra.cli.retrieval import OpenedIndex
from lavra.rag.rerank import PredictorReranker
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.tuning.kept import read_choice


@dataclass(frozen=True, kw_only=True)
class OpenedReranker:
    """A reranker and what tells it from others.

    Attributes:
        reranker: reads a question and passages together.
        key: hash of its files.
    """

    reranker: Reranker
    key: str


def open_reranker(name: str) -> OpenedReranker:
    """Open a model that `lavra finetune --task rerank` made.

    Args:
        name: a folder, a name in the workspace, or a hub id.

    Raises:
        InputError: there is no such model, or it was made for something else.
    """
    model = load(name)
    if model.predictor is None or model.folder is None:
        raise InputError(f"{name} is no reranker; make one: lavra finetune MODEL --task rerank --data FILE")
    return OpenedReranker(reranker=PredictorReranker(model.predictor), key=hash_json(model_files(model.folder)))


def open_retriever(opened: OpenedIndex) -> Retriever:
    """What searches an index: as tuning chose, or by both arms where it was not tuned as it is now.

    Raises:
        InputError: tuning chose a reranker that is gone.
    """
    index = opened.index
    encoder = "" if index.config.encoder is None else index.config.encoder.hash
    choice = read_choice(index.folder, index.config.chunking, encoder)
    if choice is None:
        return build_retriever(index.table, index.postings, index.store, opened.embedder)
    reranker = open_reranker(choice.reranker).reranker if choice.reranker else None
    return build_retriever(index.table, index.postings, index.store, opened.embedder, choice.retrieval, reranker)
