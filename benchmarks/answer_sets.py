"""Questions over all paragraphs of XQuAD (English) and of FaQuAD (Portuguese), and an index in memory that finds them.

Every paragraph is a document.  The weights of extractive answers were fitted to every second question, beginning
with the first; the others are measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.ports import Embedder, Retriever
from lavra.base.retrieval import Chunk
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.table import open_store
from lavra.rag.words import Analyzer

FILES: Final = {"XQuAD": ("xquad/xquad.en.json", "en"), "FaQuAD": ("faquad/dataset.json", "pt")}


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """A question, and the places where people found its answer.

    Attributes:
        text: the question.
        document: name of the paragraph.
        answers: texts, and where each begins in the paragraph.
    """

    text: str
    document: str
    answers: tuple[tuple[str, int], ...]

    def is_held_by(self, document: str, start: int, end: int) -> bool:
        """Whether a part of a document holds one of the answers."""
        return document == self.document and any(
            start <= place and place + len(answer) <= end for answer, place in self.answers
        )


@dataclass(frozen=True, kw_only=True)
class AnswerSet:
    """Paragraphs and questions.

    Attributes:
        name: name of the set.
        language: ISO 639-1.
        texts: paragraphs by name.
        questions: the measured questions.
    """

    name: str
    language: str
    texts: dict[str, str]
    questions: tuple[AskedQuestion, ...]


def read_answer_set(name: str, data: Path, most: int, seed: int) -> AnswerSet:
    """Read a set with at most `most` questions, drawn from those that no weight was fitted to."""
    file, language = FILES[name]
    texts: dict[str, str] = {}
    questions: list[AskedQuestion] = []
    names: dict[str, str] = {}
    for article in json.loads((data / "qa" / file).read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            document = names.setdefault(paragraph["context"], f"{name}/{len(names)}")
            texts[document] = paragraph["context"]
            for one in paragraph["qas"]:
                answers = tuple((answer["text"], int(answer["answer_start"])) for answer in one["answers"])
                questions.append(AskedQuestion(text=one["question"], document=document, answers=answers))
    measured = questions[1::2]
    taken = random.Random(seed).sample(measured, min(most, len(measured)))
    return AnswerSet(name=name, language=language, texts=texts, questions=tuple(taken))


@dataclass(frozen=True, kw_only=True)
class MemoryIndex:
    """An index of one set.

    Attributes:
        table: its chunks: each paragraph is a chunk.
        analyzer: splits texts into words.
        retriever: hybrid search where there is an embedder, else search by words alone.
    """

    table: MemoryChunks
    analyzer: Analyzer
    retriever: Retriever


def build_index(
    texts: dict[str, str], languages: Sequence[str], embedder: Embedder | None, folder: Path
) -> MemoryIndex:
    """Build an index: postings in a folder, vectors in memory."""
    chunks: list[Chunk] = []
    for name, text in texts.items():
        start = len(text) - len(text.lstrip())
        body = text.strip()
        chunks.append(Chunk(id=len(chunks), document=name, text=body, start=start, end=start + len(body), line=1))
    table, analyzer = MemoryChunks(chunks, texts), Analyzer(tuple(languages))
    write_postings(folder / "postings", [one.id for one in chunks], [one.text for one in chunks], analyzer)
    store = None
    if embedder is not None:
        vectors = embedder.embed([one.text for one in chunks])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store = open_store(StoreConfig(kind=StoreKind.EXACT), folder / "vectors", vectors.shape[1])
        store.add(table.ids(), vectors, [one.meta for one in chunks])
    retriever = build_retriever(table, Postings.open(folder / "postings"), store, embedder)
    return MemoryIndex(table=table, analyzer=analyzer, retriever=retriever)
