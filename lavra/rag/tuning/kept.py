"""The choice of a tuning run on the card of an index: `lavra index --tune` writes it, searches of the index read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.card import CARD_FILE, add_metrics, read_card
from lavra.base.convert import from_mapping
from lavra.base.errors import InputError
from lavra.rag.retrievers.config import RetrievalConfig
from lavra.text.chunking.config import ChunkConfig

_METRIC: Final = "tuning"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChoice:
    """The settings with which an index is searched.

    Attributes:
        retrieval: settings of the search.
        reranker: name by which the reranker is opened; empty where none is used.
    """

    retrieval: RetrievalConfig
    reranker: str


def keep_choice(folder: Path, result: Mapping[str, Any], encoder: str) -> None:
    """Write the result of a run onto the card of an index, in place of an earlier result.

    Args:
        folder: path of the index.
        result: outcome of the run, as `to_data` gives it.
        encoder: hash of the encoder it was measured with; empty where there is none.

    Raises:
        InputError: the index has no card.
    """
    add_metrics(folder, {_METRIC: {**result, "encoder": encoder}})


def read_choice(folder: Path, chunking: ChunkConfig, encoder: str) -> KeptChoice | None:
    """Read the choice of tuning for an index, where it was tuned in its present form.

    Args:
        folder: path of the index.
        chunking: the way its documents are cut.
        encoder: hash of its encoder; empty where there is none.

    Raises:
        InputError: the card cannot be read, or holds settings of another version.
    """
    if not (folder / CARD_FILE).exists():
        return None
    kept = read_card(folder).metrics.get(_METRIC)
    if not isinstance(kept, Mapping) or kept.get("encoder") != encoder:
        return None
    for choice in (kept["choice"], kept["here"]):
        try:
            if from_mapping(ChunkConfig, choice["chunking"]) == chunking:
                retrieval = from_mapping(RetrievalConfig, choice["retrieval"])
                return KeptChoice(retrieval=retrieval, reranker=kept["reranker"] if retrieval.rerank_depth else "")
        except InputError as error:
            raise InputError(
                f"{folder} was tuned by another version ({error}); tune it again: lavra index --tune"
            ) from None
    return None
