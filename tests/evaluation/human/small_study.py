"""A small study: answers of two models to a few prompts, and annotators who judge them."""

from __future__ import annotations

from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.items import ItemKind, Judgement
from lavra.evaluation.human.store import StudyStore, create_study
from lavra.evaluation.human.study import StudyConfig, plan_study
from lavra.evaluation.human.tokens import new_token, token_hash
from lavra.evaluation.human.votes import Winner


def some_answers(num_prompts=4, models=("big", "small")):
    return [
        ModelAnswer(
            model=model,
            question_id=f"q{number}",
            prompt=f"Prompt {number}?",
            answer=f"Answer {models.index(model)} to prompt {number}.",
        )
        for model in models
        for number in range(1, num_prompts + 1)
    ]


def new_store(path, answers=None, **settings):
    """A study in a new file, and its access tokens by annotator."""
    config = StudyConfig(**{"pairwise": True, "annotators": 2, **settings})
    tokens = {number: new_token() for number in range(1, config.annotators + 1)}
    study = plan_study(some_answers() if answers is None else answers, config)
    create_study(path, study, {number: token_hash(token) for number, token in tokens.items()})
    store = StudyStore(path)
    store._connection.execute("PRAGMA synchronous = OFF")  # a test's study need not outlive a power cut
    return store, tokens


def attentive(item, rate=lambda item: 4, vote=lambda item: Winner.MODEL_A, scales=("fluency",)):
    """The judgements of an annotator who reads; attention checks are passed."""
    if item.kind is ItemKind.PAIR:
        return Judgement(winner=item.expected_winner or vote(item), seconds=2.0, done=True)
    ratings = dict(item.expected) or dict.fromkeys(scales, rate(item))
    return Judgement(ratings=ratings, seconds=3.0, done=True)


def judge_all(store, annotator, said=attentive, **how):
    """Let an annotator judge all assigned items."""
    for place in range(1, store.num_assigned(annotator) + 1):
        at = store.assignment(annotator, place)
        store.save(annotator, at.item, said(store.items[at.item], scales=store.config.scales, **how))
