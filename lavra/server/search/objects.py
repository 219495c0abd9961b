"""Turn values of retrieval into JSON: passages, citations, and their addresses on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from lavra.base.retrieval import ACCESS, Answer, Citation, CitedSentence, LeftOut, Passage
from lavra.server.search.served_index import ServedIndex


def passage_object(index: ServedIndex, passage: Passage) -> dict[str, Any]:
    """A passage: its place, its text, and its scores by each search method."""
    chunk = passage.chunk
    return {
        **_place(index, chunk.document, chunk.start, chunk.end),
        "line": chunk.line,
        "page": chunk.page,
        "text": chunk.text,
        "headings": list(chunk.headings),
        "meta": {name: value for name, value in chunk.meta.items() if name != ACCESS},
        "score": passage.score,
        "scores": dict(passage.scores),
    }


def citation_object(index: ServedIndex, number: int, citation: Citation) -> dict[str, Any]:
    """A citation; `number` is that of its mark, from 1."""
    return {
        "number": number,
        **_place(index, citation.document, citation.start, citation.end),
        "line": citation.line,
        "page": citation.page,
        "text": citation.text,
    }


def retrieval_object(index: ServedIndex, answer: Answer) -> dict[str, Any]:
    """The field `retrieval` of an answer; citations of sentences are numbers of their marks, from 1."""
    short = answer.short
    return {
        "mode": answer.mode.value,
        "abstained": answer.abstained,
        "short": None
        if short is None
        else {**_place(index, short.document, short.start, short.end), "text": short.text},
        "sentences": [_sentence(one) for one in answer.sentences],
        "passages": [passage_object(index, one) for one in answer.passages],
        "left_out": [_left_out(index, one) for one in answer.left_out],
    }


def url_citations(index: ServedIndex, answer: Answer, base_url: str) -> list[dict[str, Any]]:
    """OpenAI's `url_citation` of each mark in an answer's text; the URL opens the passage on the search page."""
    return [_annotation(index, answer.citations[number], start, end, base_url) for number, start, end in marks(answer)]


def response_citations(index: ServedIndex, answer: Answer) -> list[dict[str, Any]]:
    """A response's annotation of each mark: `url_citation` of a page of the web, `file_citation` of a file."""
    addresses = {one.chunk.document: one.chunk.meta.get("url") for one in answer.passages}
    return [
        _cited(index, answer.citations[number].document, addresses, start, end) for number, start, end in marks(answer)
    ]


def _cited(index: ServedIndex, document: str, addresses: Mapping[str, object], start: int, end: int) -> dict[str, Any]:
    named = (addresses.get(document), document)  # pages of a web archive are called by their address
    for url in named:
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            place = {"start_index": start, "end_index": end}
            return {"type": "url_citation", **place, "title": document, "url": url}
    return {"type": "file_citation", "file_id": index.document_id(document), "filename": document, "index": start}


def marks(answer: Answer) -> list[tuple[int, int, int]]:
    """Citation marks in an answer's text: number of the citation from 0, start, and end.

    A mark is looked for behind its sentence alone: a sentence that is quoted may itself hold `[1]`.
    """
    found = []
    place = 0
    for sentence in answer.sentences:
        at = answer.text.find(sentence.text, place)
        place = place if at < 0 else at + len(sentence.text)
        for number in sentence.citations:
            mark = f"[{number + 1}]"
            start = answer.text.find(mark, place)
            if start < 0 or answer.text[place:start].strip():
                continue
            place = start + len(mark)
            found.append((number, start, place))
    return found


def _annotation(index: ServedIndex, citation: Citation, start: int, end: int, base_url: str) -> dict[str, Any]:
    page = "" if citation.page is None else f", page {citation.page}"
    place = _place(index, citation.document, citation.start, citation.end)
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": start,
            "end_index": end,
            "title": f"{citation.document}{page}",
            "url": base_url.rstrip("/") + place["url"],
        },
    }


def _place(index: ServedIndex, document: str, start: int, end: int) -> dict[str, Any]:
    identity = index.document_id(document)
    place = urlencode({"model": index.name, "document": identity, "start": start, "end": end})
    return {"document": document, "document_id": identity, "start": start, "end": end, "url": f"/search#{place}"}


def _sentence(sentence: CitedSentence) -> dict[str, Any]:
    return {
        "text": sentence.text,
        "supported": sentence.supported,
        "citations": [number + 1 for number in sentence.citations],
        "reason": sentence.reason,
    }


def _left_out(index: ServedIndex, left: LeftOut) -> dict[str, Any]:
    return {**_place(index, left.document, left.start, left.end), "reason": left.reason}
