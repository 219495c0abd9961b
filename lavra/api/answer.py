"""From a head's logits to the span of a passage that answers a question."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.api.headed import HeadedModel
from lavra.base.errors import InputError
from lavra.base.predictions import SpanAnswer
from lavra.base.tasks import Task
from lavra.data.supervised.answer_spans import AnswerConfig, Answered, answer_spans
from lavra.data.supervised.question_windows import unlabelled_question_rows
from lavra.data.supervised.samples import Place, QuestionSample


def answer(
    model: HeadedModel, questions: Sequence[tuple[str, str]], config: AnswerConfig | None = None
) -> list[SpanAnswer]:
    """The answer to each question in its passage; long passages are read in windows, nothing is cut.

    Args:
        model: finetuned for questions.
        questions: (question, passage) each.
        config: how spans are chosen, and whether "no answer" is one.

    Raises:
        InputError: the model has another head, or a question or passage is empty or leaves no room for the other.
    """
    model.require(Task.QA)
    samples = [
        QuestionSample(name=str(number), question=question, context=context, place=Place(line=number))
        for number, (question, context) in enumerate(questions, start=1)
    ]
    found = answer_samples(model, samples, config)
    missing = next((number for number in range(len(samples)) if number not in found), None)
    if missing is not None:
        raise InputError(
            f"question {missing + 1} leaves no room for its passage in {model.max_tokens} tokens, or one of the two is "
            "empty; shorten the question"
        )
    return [_told(found[number]) for number in range(len(samples))]


def answer_samples(
    model: HeadedModel, samples: Sequence[QuestionSample], config: AnswerConfig | None = None
) -> dict[int, Answered]:
    """By number of the sample; those whose question does not fit into a row are left out."""
    rows = unlabelled_question_rows(samples, model.form(truncate=True))
    logits = model.logits(rows)
    return answer_spans(rows, samples, [one[:, 0] for one in logits], [one[:, 1] for one in logits], config)


def _told(found: Answered) -> SpanAnswer:
    span = found.best
    if span is None:
        return SpanAnswer(text=found.text, start=0, end=0, score=0.0)
    return SpanAnswer(text=found.text, start=span.start, end=span.stop, score=span.probability)
