"""The usual scores of each task with a head, on labelled samples: from predictions to `lavra.metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.lazy import resolve
from lavra.base.tasks import Problem
from lavra.data.labelled.samples import ChoiceSample, QuestionSample, Sample, TagSample, TextSample
from lavra.data.rows.endings import unlabelled_choice_rows
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.metrics.answers import SquadVersion, answer_scores
from lavra.metrics.classification import classification_scores, multi_label_scores, regression_scores
from lavra.metrics.entities import entity_scores
from lavra.metrics.probabilities import sigmoid
from lavra.tasks.predicting.answer import answer_samples
from lavra.tasks.predicting.answer_spans import SpanConfig
from lavra.tasks.predicting.classify import HOLDS
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.predicting.tag import tag_samples
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.table import head_of


def score_task(model: HeadedModel, samples: Sequence[Any]) -> Scores:
    """The usual scores of the model's task; texts over its context are cut, as in training."""
    found: Scores = resolve(head_of(model.spec).score)(model, samples)
    return found


def score_labels(model: HeadedModel, samples: Sequence[TextSample]) -> Scores:
    """Classification: accuracy (several labels: micro-averaged F1; numbers: Pearson's correlation)."""
    known = [sample for sample in samples if sample.label is not None]
    logits, problem, labels = _text_logits(model, known), model.model.task.problem, model.model.task.labels
    if problem is Problem.REGRESSION:
        numbers = np.array([sample.label for sample in known], dtype=np.float64)
        return _scores("pearson", regression_scores(numbers, logits[:, 0].astype(np.float64)).to_values(), len(known))
    index = {label: place for place, label in enumerate(labels)}
    if problem is Problem.MULTI_LABEL:
        several = np.zeros((len(known), len(labels)), dtype=np.bool_)
        for row, sample in enumerate(known):
            assert isinstance(sample.label, tuple)
            several[row, [index[label] for label in sample.label]] = True
        holds = np.asarray(sigmoid(logits) > HOLDS)
        return _scores("micro_f1", multi_label_scores(several, holds, labels).to_values(), len(known))
    expected = np.array([index[str(sample.label)] for sample in known], dtype=np.int64)
    found = classification_scores(expected, logits.argmax(axis=1), labels)
    return _scores("accuracy", found.to_values(), len(known))


def score_relevance(model: HeadedModel, samples: Sequence[TextSample]) -> Scores:
    """Reranking: correlation of scores and labels, and the share of pairs on the right side of one half."""
    known = [sample for sample in samples if sample.label is not None]
    chances = sigmoid(_text_logits(model, known)[:, 0])
    wanted = np.array([sample.label for sample in known], dtype=np.float64)
    values = regression_scores(wanted, chances).to_values()
    right = float(((chances > HOLDS) == (wanted > HOLDS)).mean())
    return _scores("accuracy", {"accuracy": right, **values}, len(known))


def score_tags(model: HeadedModel, samples: Sequence[TagSample]) -> Scores:
    """Entity F1, as seqeval counts it."""
    known = [sample for sample in samples if sample.tags is not None]
    found = [[name for name, _ in sentence] for sentence in tag_samples(model, known)]
    expected = [list(sample.tags or ()) for sample in known]
    return _scores("f1", entity_scores(expected, found).to_values(), len(known))


def score_answers(model: HeadedModel, samples: Sequence[QuestionSample]) -> Scores:
    """F1 and exact match as SQuAD's script counts them; a question that could not be read counts as answered wrong."""
    known = [sample for sample in samples if sample.answers is not None]
    none_allowed = any(not sample.answers for sample in known)
    found = answer_samples(model, known, SpanConfig(allow_none=none_allowed))
    texts = [found[number].text if number in found else "" for number in range(len(known))]
    references = [[answer.text for answer in sample.answers or ()] for sample in known]
    version = SquadVersion.V2 if none_allowed else SquadVersion.V1
    scores = answer_scores(texts, references, version=version)
    return _scores("f1", {"f1": scores.f1, "exact_match": scores.exact_match}, len(known))


def score_choices(model: HeadedModel, samples: Sequence[ChoiceSample]) -> Scores:
    """The share of right choices."""
    known = [sample for sample in samples if sample.label is not None]
    rows = unlabelled_choice_rows(known, model.form(truncate=True))
    right = [
        int(logits[:, 0].argmax()) == known[number].label
        for number, logits in zip(rows.sources, model.logits(rows), strict=True)
    ]
    return _scores("accuracy", {"accuracy": float(np.mean(right))}, len(right))


def _text_logits(model: HeadedModel, samples: Sequence[TextSample]) -> Float32s:
    rows = unlabelled_text_rows(samples, model.form(truncate=True))
    return np.stack(model.logits(rows))


def _scores(main: str, values: Mapping[str, float], num_samples: int) -> Scores:
    return Scores(main=main, values=values, num_samples=num_samples)


def majority(train: Sequence[Sample], heldout: Sequence[Sample]) -> float | None:
    """Accuracy of always answering the training data's most frequent label; None where that means nothing."""
    learnt = [sample.label for sample in train if isinstance(sample, TextSample) and isinstance(sample.label, str)]
    asked = [sample.label for sample in heldout if isinstance(sample, TextSample) and isinstance(sample.label, str)]
    if not learnt or not asked:
        return None
    counts = Counter(learnt)
    common = max(sorted(counts), key=counts.__getitem__)
    return asked.count(common) / len(asked)
