"""Build a retriever: from the choice kept in an index, and from the settings of a question."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from lavra.base.ports import LanguageModel, Retriever
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.rewriting.several import Hypothetical, MultiQuery
from lavra.rag.tuning.kept import read_choice
from lavra.remote.reranking import RemoteReranker
from lavra.verbs.reranking import open_reranker
from lavra.verbs.retrieval import OpenedIndex
from lavra.verbs.settings.answering import AnsweringConfig


def chosen_retriever(opened: OpenedIndex, *, reranks: bool) -> Retriever:
    """The retriever that `lavra index --tune` chose for the present state of the index, or else the usual retriever.

    Args:
        opened: the index.
        reranks: whether the reranker of that choice is opened; False if another reranker replaces it.
    """
    index = opened.index
    encoder = index.config.encoder
    kept = read_choice(index.folder, index.config.chunking, "" if encoder is None else encoder.hash)
    retrieval = None if kept is None else kept.retrieval
    if retrieval is not None and not reranks:
        retrieval = replace(retrieval, rerank_depth=0)
    reranker = open_reranker(kept.reranker).reranker if kept and kept.reranker and reranks else None
    return build_retriever(index.table, index.postings, index.store, opened.embedder, retrieval, reranker)


def widened_retriever(
    found: Retriever, config: AnsweringConfig, model: LanguageModel | None, held: ExitStack
) -> Retriever:
    """A retriever that also searches for texts that a model writes, and whose best passages a reranker orders anew.

    The figures for abstention and modes in the index's card were measured without these: both measure how well passages
    fit the question, whichever way they were found.

    Args:
        found: the retriever to extend.
        config: settings of the extensions.
        model: model that writes the texts to search for, if `config` asks for them.
        held: resources that are released at the end.

    Raises:
        InputError: the reranker does not exist.
    """
    if config.multi_query or config.hyde:
        assert model is not None
        found = Hypothetical(found, model) if config.hyde else MultiQuery(found, model, wordings=config.multi_query)
    if config.reranker is None:
        return found
    reranker = open_reranker(config.reranker, config.reranker_key).reranker
    if isinstance(reranker, RemoteReranker):
        held.callback(reranker.close)
    return Reranked(found, reranker)
