"""Reranking: the fit of passages to a query, by a model that reads both together (a cross-encoder)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.predictions import Ranked, RankRequest
from lavra.base.tasks import HeadKind, Problem
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns, each
from lavra.data.labelled.makers import relevance_maker
from lavra.data.labelled.samples import TextSample
from lavra.tasks.classify import expected_label, given_texts, is_labelled, labels_of, texts_of
from lavra.tasks.spec import Asking, AskOptions, HeadSpec, TaskSpec


def _read_request(given: Any, options: AskOptions) -> RankRequest:
    texts = tuple(one if isinstance(one, str) else one["text"] for one in given["documents"])
    return RankRequest(query=given["query"], texts=texts, truncate=options.truncate)


def _write_request(request: RankRequest) -> dict[str, Any]:
    return {"query": request.query, "documents": list(request.texts)}


def _read_answer(given: Mapping[str, Any]) -> tuple[Ranked, ...]:
    return tuple(Ranked(index=one["index"], score=one["relevance_score"]) for one in given["results"])


def _write_answer(found: Sequence[Ranked]) -> dict[str, Any]:
    return {"results": [{"index": one.index, "relevance_score": one.score} for one in found]}


def _older_fields(found: Sequence[Ranked]) -> dict[str, Any]:
    return {"ranked": [{"index": one.index, "score": one.score} for one in found]}


def _from_texts(texts: Sequence[str], options: AskOptions) -> list[RankRequest]:
    if len(texts) < 2:
        raise InputError(f"{len(texts)} text is given; rerank takes the query and then the texts that may fit")
    return [RankRequest(query=texts[0], texts=tuple(texts[1:]), truncate=options.truncate)]


def _from_sample(sample: TextSample, options: AskOptions) -> RankRequest:
    return RankRequest(query=sample.text, texts=(sample.pair or "",), truncate=options.truncate)


def _shown(request: RankRequest, found: Sequence[Ranked]) -> list[tuple[str, ...]]:
    return [(f"{one.score:.3f}", request.texts[one.index]) for one in found]


RERANK: Final = TaskSpec(
    name="rerank",
    summary="how well a passage fits a query",
    form=SampleForm(
        name="rerank",
        columns=TaskColumns(
            layouts=each(
                "query passage", "query passage", "query document", "query text", "question passage", "question answer"
            )
            + tuple(
                ColumnLayout(required={"query": "query", "positives": positive}, optional={"negatives": negative})
                for positive, negative in (("positive", "negative"), ("positive", "negatives"), ("pos", "neg"))
            ),
            extras={"label": ("label", "score", "relevance", "labels"), "id": ("id",)},
        ),
        prepare=relevance_maker,
    ),
    texts=texts_of,
    expected=expected_label,
    is_known=is_labelled,
    labels=labels_of,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("labels stand at their texts", "lavra.tasks.learning.read_back:look_at_labels"),
    head=HeadSpec(
        kind=HeadKind.SEQUENCE,
        rows="lavra.tasks.learning.headed:labelled_texts",
        loss="lavra.tasks.learning.losses:relevance_loss",
        soft_loss="lavra.tasks.learning.soft_losses:soft_labels_loss",
        predict="lavra.tasks.predicting.classify:predict_ranks",
        score="lavra.tasks.scoring.heads:score_relevance",
        guess="lavra.tasks.learning.guess:guess_relevance",
        num_answers="lavra.tasks.learning.guess:num_labels",
        problem=Problem.REGRESSION,
    ),
    asking=Asking(
        path="/v1/rerank",
        request=RankRequest,
        takes=frozenset({"truncate"}),
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        older_fields=_older_fields,
        from_texts=_from_texts,
        from_sample=_from_sample,
        given=given_texts,
        shown=_shown,
    ),
)
