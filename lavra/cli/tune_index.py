"""`lavra index --tune`: find the best way of cutting and searching for questions about an index."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.load import load
from lavra.base.card import read_card
from lavra.base.convert import to_mapping
from lavra.base.shell import command
from lavra.base.units import format_duration
from lavra.cli.arguments.index import TuneSettings
from lavra.cli.console import print_json
from lavra.rag.questions.given import JudgedQuestion, judge_questions, read_questions
from lavra.rag.tuning.config import TuningConfig
from lavra.rag.tuning.corpus import TunedCorpus
from lavra.rag.tuning.kept import keep_choice
from lavra.rag.tuning.results import TuningResult, table_rows, to_data
from lavra.rag.tuning.run import tune
from lavra.text.chunking.config import ChunkConfig
from lavra.text.chunking.tokens import word_tokens
from lavra.verbs.meter import meter
from lavra.verbs.reranking import OpenedReranker, open_reranker
from lavra.verbs.retrieval import OpenedIndex, open_embedder, open_for_search

_FOLDER = "tuning"
"""Folder in an index that keeps the measurements of tuning."""
_LEFT_OUT_SHOWN = 5


def tune_index(folder: Path, settings: TuneSettings, *, name: str | None, as_json: bool) -> int:
    """Compare setups, print the table, and keep the choice in the index's card.

    Args:
        folder: folder of the index.
        settings: the time limit, the questions and the models.
        name: name of the index as it was typed, for the next command.
        as_json: print one JSON object instead.
    """
    config = TuningConfig(minutes=settings.minutes, questions=settings.num_questions, seed=settings.seed)
    reranker = None if settings.reranker is None else open_reranker(settings.reranker)
    opened = open_for_search(folder)
    with opened.index as index, meter() as progress:
        given, left_out = _given(settings.questions, opened)
        corpus = _corpus(opened, reranker, settings)
        result = tune(corpus, folder / _FOLDER, config, given=given, left_out=left_out, progress=progress)
        current = index.config.chunking
    data = to_data(result, config.rerank_depth, settings.reranker or "")
    keep_choice(folder, data, corpus.encoder)
    if as_json:
        print_json({"path": str(folder), **data})
    else:
        _show(result, current, name)
    return 0


def _given(path: Path | None, opened: OpenedIndex) -> tuple[list[JudgedQuestion], list[str]]:
    return ([], []) if path is None else judge_questions(read_questions(path), opened.index.table)


def _corpus(opened: OpenedIndex, reranker: OpenedReranker | None, settings: TuneSettings) -> TunedCorpus:
    index, identity = opened.index, opened.index.config.encoder
    documents = None if identity is None else open_embedder(identity.name)
    return TunedCorpus(
        table=index.table,
        key=str(read_card(index.folder).config.get("documents", index.generation)),
        chunking=index.config.chunking,
        embedder=documents,
        query_embedder=opened.embedder,
        encoder="" if identity is None else identity.hash,
        tokens=word_tokens if documents is None or documents.tokens is None else documents.tokens,
        longest=None if documents is None else documents.max_tokens,
        reranker=None if reranker is None else reranker.reranker,
        reranker_key="" if reranker is None else reranker.key,
        generator=None if settings.question_model is None else load(settings.question_model).port,
    )


def _show(result: TuningResult, current: ChunkConfig, name: str | None) -> None:
    heads, *rows = table_rows(result)
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    kinds = ", ".join(f"{number} {kind}" for kind, number in result.questions.items())
    print(f"  questions  {sum(result.questions.values())} ({kinds})")
    print(f"  documents  {result.documents:,} of {result.all_documents:,}\n")
    _console().print(table)
    print()
    for reason in result.choice.reasons:
        print(f"  {reason}")
    for issue in result.left_out[:_LEFT_OUT_SHOWN]:
        print(f"  {issue}")
    if len(result.left_out) > _LEFT_OUT_SHOWN:
        print(f"  and {len(result.left_out) - _LEFT_OUT_SHOWN} more questions are left out (--json names all)")
    if result.missing:
        print(f"  {_missing(result)}; the same command again goes on with them")
    print(f"\ntuned in {format_duration(result.seconds)}; `lavra ask` searches as chosen from now on")
    print(f"next: {_next(result, current, name)}")


def _missing(result: TuningResult) -> str:
    searches = Counter(setup.search.value for setup in result.missing)
    named = ", ".join(f"{number} of {search}" for search, number in searches.items())
    return f"the time did not suffice for {len(result.missing)} setups ({named})"


def _next(result: TuningResult, current: ChunkConfig, name: str | None) -> str:
    """The next command: cut the documents as chosen, or ask a question."""
    index = ["--index", name] if name else []
    chosen = result.choice.trial.setup.chunking
    before, after = to_mapping(current), to_mapping(chosen)
    flags = [word for key in after if after[key] != before[key] for word in (f"--chunking.{key}", str(after[key]))]
    return command("index" if flags else "ask", *([] if flags else ["…"]), *index, *flags)


def _console() -> Console:
    """A console as wide as the table needs where output is not a terminal, so that no cell is cut."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)
