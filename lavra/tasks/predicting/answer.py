"""From a head's logits to the span of a passage that answers a question."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.predictions import AnswerRequest, Prediction, SpanAnswer
from lavra.data.labelled.samples import Place, QuestionSample
from lavra.data.rows.passages import QuestionRows, unlabelled_question_rows
from lavra.tasks.answer import ANSWER
from lavra.tasks.predicting.answer_spans import Answered, SpanConfig, answer_spans
from lavra.tasks.predicting.headed import HeadedModel


def answer(
    model: HeadedModel, questions: Sequence[tuple[str, str]], config: SpanConfig | None = None
) -> list[SpanAnswer]:
    """The answer to each question in its passage; long passages are read in windows, nothing is cut.

    Args:
        model: finetuned for questions.
        questions: (question, passage) each.
        config: the choice of spans, and whether "no answer" is allowed.

    Raises:
        InputError: the model has another head, or a question or passage is empty or leaves no room for the other.
    """
    config = config or SpanConfig()
    return [one.value for one in _predicted(model, [(question, context, config) for question, context in questions])]


def predict_answers(model: HeadedModel, requests: Sequence[AnswerRequest]) -> list[Prediction[SpanAnswer]]:
    """The answers as `answer` gives them, with the number of tokens and warnings."""
    return _predicted(model, [(one.question, one.context, SpanConfig(allow_none=one.allow_none)) for one in requests])


def _predicted(model: HeadedModel, asked: Sequence[tuple[str, str, SpanConfig]]) -> list[Prediction[SpanAnswer]]:
    model.require(ANSWER)
    samples = [
        QuestionSample(name=str(number), question=question, context=context, place=Place(line=number))
        for number, (question, context, _) in enumerate(asked)
    ]
    rows = unlabelled_question_rows(samples, model.form(truncate=True))
    missing = next((number for number in range(len(samples)) if number not in rows.rows_of), None)
    if missing is not None:
        raise InputError(
            f"question {missing} leaves no room for its passage in {model.max_tokens} tokens, or one of the two is "
            "empty; shorten the question"
        )
    logits = model.logits(rows)
    by_config = {config: _spans(rows, samples, logits, config) for config in {config for *_, config in asked}}
    num_tokens = [sum(len(rows.encoded.ids[row]) for row in rows.rows_of[number]) for number in range(len(samples))]
    warnings = tuple(issue.what for issue in rows.issues if not issue.dropped)  # issues of the layout of pairs
    return [
        Prediction(value=_span_answer(by_config[config][number]), num_tokens=num_tokens[number], warnings=warnings)
        for number, (*_, config) in enumerate(asked)
    ]


def answer_samples(
    model: HeadedModel, samples: Sequence[QuestionSample], config: SpanConfig | None = None
) -> dict[int, Answered]:
    """The answers by number of the sample; samples whose question does not fit into a row are left out."""
    rows = unlabelled_question_rows(samples, model.form(truncate=True))
    return _spans(rows, samples, model.logits(rows), config or SpanConfig())


def _spans(
    rows: QuestionRows, samples: Sequence[QuestionSample], logits: Sequence[Float32s], config: SpanConfig
) -> dict[int, Answered]:
    return answer_spans(rows, samples, [one[:, 0] for one in logits], [one[:, 1] for one in logits], config)


def _span_answer(found: Answered) -> SpanAnswer:
    span = found.best
    if span is None:
        return SpanAnswer(text=found.text, start=0, end=0, score=0.0)
    return SpanAnswer(text=found.text, start=span.start, end=span.stop, score=span.probability)
