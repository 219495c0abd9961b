"""How the verbs put a retriever together: the choice that an index keeps, and what a question adds to it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from lavra.base.ports import LanguageModel, Retriever
from lavra.cli.arguments.answering import AnsweringConfig
from lavra.cli.reranking import open_reranker
from lavra.cli.retrieval import OpenedIndex
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.rewriting import Hypothetical, MultiQuery
from lavra.rag.tuning.kept import read_choice
from lavra.remote import RemoteReranker


def chosen_retriever(opened: OpenedIndex, *, reranks: bool) -> Retriever:
    """The retriever that `lavra index --tune` chose for the index as it is now, or else the usual one.

    Args:
        opened: the index.
        reranks: whether the reranker of that choice is opened; not where another one takes its place.
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
    """A retriever that also searches for what a model writes, and one whose best passages a reranker reads.

    What the index's card keeps of abstention and modes was measured without them: both ask how well passages fit the
    question, whichever way they were found.

    Args:
        found: searches.
        config: what is put around it.
        model: writes what is searched for, where `config` asks for that.
        held: what is given back at the end.

    Raises:
        InputError: there is no such reranker.
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
