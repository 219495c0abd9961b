"""How `lavra index --tune` opens a reranker."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.api.identity import model_files
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.ports import Reranker
from lavra.rag.rerank import PredictorReranker


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
