"""A study: the assignment of items to annotators, with their order and sides.

An item is one answer to be rated on scales, or two answers to one prompt, side by side.  Every annotator has their own
order, with ratings first and comparisons after them, and sees the two models of a comparison on either side equally
often.  The seed determines orders and sides, which are kept with the study.  Names of models are never shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.attention import planted_items
from lavra.evaluation.human.items import Assignment, ItemKind, StudyItem
from lavra.evaluation.human.scales import SCALES, scales_named

MOST_ANNOTATORS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """The settings of a study.

    Attributes:
        title: heading that annotators see above the first item.
        instructions: text that annotators read before the first item; a short text of lavra's unless given.
        scales: scales on which each answer is rated: fluency, coherence, factuality; none asks for comparisons alone.
        pairwise: also show the answers of every two models side by side.
        annotators: people who get a link.
        per_item: people who judge each item; 0 is all of them.
        checks: attention checks of each annotator among the ratings, and as many among the comparisons.
        seed: fixes orders and sides.
    """

    title: str = "Which answers are good?"
    instructions: str = ""
    scales: tuple[str, ...] = tuple(SCALES)
    pairwise: bool = False
    annotators: int = 3
    per_item: int = 0
    checks: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        names = tuple(name for word in self.scales for name in word.split(",") if name and name != "none")
        object.__setattr__(self, "scales", names)  # people type `fluency,coherence`
        scales_named(names)
        if not names and not self.pairwise:
            raise ConfigError("scales names none, and pairwise is off, so nothing is asked; give one of the two")
        if not 1 <= self.annotators <= MOST_ANNOTATORS:
            raise ConfigError(f"annotators is {self.annotators}; give 1 to {MOST_ANNOTATORS}")
        if not 0 <= self.per_item <= self.annotators:
            raise ConfigError(f"per_item is {self.per_item}; give 1 to {self.annotators}, the annotators, or 0 for all")
        if not 0 <= self.checks <= 20:
            raise ConfigError(f"checks is {self.checks}; give 0 to 20")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A planned study.

    Attributes:
        config: settings of the study.
        items: all items, attention checks included.
        assignments: assignments of items to annotators.
        notes: notes about answers that were left out, one sentence each.
    """

    config: StudyConfig
    items: tuple[StudyItem, ...]
    assignments: tuple[Assignment, ...]
    notes: tuple[str, ...] = ()


def plan_study(answers: Sequence[ModelAnswer], config: StudyConfig) -> Study:
    """Plan a study: make items from answers and assign them to annotators.

    Raises:
        InputError: there is no answer to show, or comparisons are asked for and there is only one model.
    """
    if not answers:
        raise InputError("there are no answers to judge; give at least one")
    notes: list[str] = []
    items = list(_ratings(answers)) if config.scales else []
    if config.pairwise:
        items += _pairs(answers, len(items) + 1, notes)
    draw = Random(f"checks {config.seed}")
    for kind in ItemKind:
        if any(item.kind is kind for item in items):
            items += planted_items(answers, kind, config.scales, count=config.checks, first=len(items) + 1, draw=draw)
    return Study(config=config, items=tuple(items), assignments=tuple(_assign(items, config)), notes=tuple(notes))


def _ratings(answers: Sequence[ModelAnswer]) -> Iterator[StudyItem]:
    for number, one in enumerate(answers, start=1):
        yield StudyItem(
            number=number,
            kind=ItemKind.RATING,
            question_id=one.question_id,
            prompt=one.prompt,
            model_a=one.model,
            answer_a=one.answer,
            reference=one.reference,
        )


def _pairs(answers: Sequence[ModelAnswer], first: int, notes: list[str]) -> list[StudyItem]:
    """Pair every two answers to one prompt; equal texts are left out and noted, since neither can be preferred."""
    models = sorted({one.model for one in answers})
    if len(models) < 2:
        raise InputError(f"all answers are of {models[0]}; comparisons need two models: give another file of answers")
    by_prompt: dict[str, dict[str, ModelAnswer]] = {}
    for one in answers:
        by_prompt.setdefault(one.prompt, {})[one.model] = one
    both = [
        (of[a], of[b]) for of in by_prompt.values() for a, b in itertools.combinations(models, 2) if a in of and b in of
    ]
    different = [(a, b) for a, b in both if a.answer != b.answer]
    missing = len(by_prompt) * len(models) * (len(models) - 1) // 2 - len(both)
    if missing:
        notes.append(f"{missing} comparisons are left out, since one of the two models has no answer to the prompt")
    if len(different) < len(both):
        notes.append(f"{len(both) - len(different)} comparisons are left out, since both answers are the same text")
    if not different:
        raise InputError("no two models answer the same prompt in different words; nothing can be compared")
    return [_pair(a, b, number) for number, (a, b) in enumerate(different, start=first)]


def _pair(a: ModelAnswer, b: ModelAnswer, number: int) -> StudyItem:
    return StudyItem(
        number=number,
        kind=ItemKind.PAIR,
        question_id=a.question_id,
        prompt=a.prompt,
        model_a=a.model,
        answer_a=a.answer,
        model_b=b.model,
        answer_b=b.answer,
        reference=a.reference or b.reference,
    )


def _assign(items: Sequence[StudyItem], config: StudyConfig) -> Iterator[Assignment]:
    """Assign items to each annotator in order; every item has equally many annotators, and the load is even."""
    holders = _holders(items, config)
    for annotator in range(1, config.annotators + 1):
        draw = Random(f"order {config.seed} {annotator}")
        own = [item for item in items if annotator in holders[item.number]]
        ordered = [item for kind in ItemKind for item in _shuffled([one for one in own if one.kind is kind], draw)]
        pairs = [item.number for item in ordered if item.kind is ItemKind.PAIR]
        swapped = set(draw.sample(pairs, len(pairs) // 2 + (len(pairs) % 2 and draw.randrange(2))))
        for place, item in enumerate(ordered, start=1):
            yield Assignment(annotator=annotator, place=place, item=item.number, swapped=item.number in swapped)


def _holders(items: Sequence[StudyItem], config: StudyConfig) -> dict[int, set[int]]:
    """The annotators of each item, by its number: all annotators for a check, otherwise `per_item` of them in turn."""
    everybody = set(range(1, config.annotators + 1))
    wanted = config.per_item or config.annotators
    real = [item.number for item in items if not item.is_check]
    Random(f"holders {config.seed}").shuffle(real)
    turns = itertools.cycle(range(1, config.annotators + 1))
    holders = {number: {next(turns) for _ in range(wanted)} for number in real}
    return {item.number: holders.get(item.number, everybody) for item in items}


def _shuffled(items: list[StudyItem], draw: Random) -> list[StudyItem]:
    """Shuffle items into an order that does not begin with a check; checks without other items give no order."""
    real, checks = [one for one in items if not one.is_check], [one for one in items if one.is_check]
    draw.shuffle(real)
    for check in checks if real else []:
        real.insert(draw.randint(1, len(real)), check)
    return real
