"""Extractive questions: the span of a passage that answers, or none (SQuAD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.predictions import AnswerRequest, SpanAnswer
from lavra.base.tasks import HeadKind
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns
from lavra.data.labelled.makers import question_maker
from lavra.data.labelled.samples import QuestionSample
from lavra.tasks.spec import Asking, AskOptions, HeadSpec, TaskSpec


def _texts(sample: QuestionSample) -> tuple[str, ...]:
    return sample.question, sample.context


def _key(sample: QuestionSample) -> tuple[str, ...]:
    return (sample.context,)


def _expected(sample: QuestionSample) -> list[str] | None:
    return None if sample.answers is None else [answer.text for answer in sample.answers]


def _given(sample: QuestionSample) -> dict[str, Any]:
    """The question; a passage stays in its file."""
    return {"id": sample.name, "question": sample.question}


# ---------------------------------------------------------------- requests and answers


def _read_request(given: Any, options: AskOptions) -> AnswerRequest:
    return AnswerRequest(question=given["question"], context=given["context"], allow_none=options.allow_none)


def _write_request(request: AnswerRequest) -> dict[str, Any]:
    return {"question": request.question, "context": request.context}


def _read_answer(given: Mapping[str, Any]) -> SpanAnswer:
    return SpanAnswer(text=given["text"], start=given["start"], end=given["end"], score=given["score"])


def _write_answer(found: SpanAnswer) -> dict[str, Any]:
    return {"text": found.text, "start": found.start, "end": found.end, "score": found.score}


def _older_fields(found: SpanAnswer) -> dict[str, Any]:
    return {"answer": found.text}


def _from_texts(texts: Sequence[str], options: AskOptions) -> list[AnswerRequest]:
    if len(texts) != 2:
        raise InputError(f"{len(texts)} texts are given; answer takes two, the question and the passage; quote each")
    return [AnswerRequest(question=texts[0], context=texts[1], allow_none=options.allow_none)]


def _from_sample(sample: QuestionSample, options: AskOptions) -> AnswerRequest:
    return AnswerRequest(question=sample.question, context=sample.context, allow_none=options.allow_none)


def _shown(request: AnswerRequest, found: SpanAnswer) -> list[tuple[str, ...]]:
    return [(f"{found.score:.3f}", found.text)] if found.text else [("no answer in the passage",)]


ANSWER: Final = TaskSpec(
    name="answer",
    summary="the span of a passage that answers a question",
    saved_as="qa",
    form=SampleForm(
        name="answer",
        columns=TaskColumns(
            layouts=(
                ColumnLayout(required={"question": "question", "context": "context"}),
                ColumnLayout(required={"question": "question", "context": "passage"}),
                ColumnLayout(required={"question": "query", "context": "context"}),
                ColumnLayout(required={"question": "query", "context": "passage"}),
            ),
            extras={
                "answers": ("answers", "answer", "answer_text"),
                "start": ("answer_start", "start"),
                "impossible": ("is_impossible",),
                "id": ("id", "qid", "question_id"),
            },
        ),
        prepare=question_maker,
        has_unique_ids=True,
    ),
    texts=_texts,
    key=_key,
    expected=_expected,
    is_known=lambda sample: sample.answers is not None,
    tokens=384,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("answers read back as they are written", "lavra.tasks.learning.read_back:look_at_answers"),
    head=HeadSpec(
        kind=HeadKind.SPAN,
        rows="lavra.tasks.learning.headed:questions",
        loss="lavra.tasks.learning.losses:span_loss",
        soft_loss="lavra.tasks.learning.soft_losses:soft_span_loss",
        predict="lavra.tasks.predicting.answer:predict_answers",
        score="lavra.tasks.scoring.heads:score_answers",
        guess="lavra.tasks.learning.guess:guess_span",
        num_answers="lavra.tasks.learning.guess:num_tokens",
        has_windows=True,
    ),
    asking=Asking(
        path="/v1/answer",
        request=AnswerRequest,
        takes=frozenset({"allow_none"}),
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        older_fields=_older_fields,
        from_texts=_from_texts,
        from_sample=_from_sample,
        given=_given,
        shown=_shown,
    ),
)
