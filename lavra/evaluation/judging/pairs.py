"""The pairs of answers to compare: every two models' answers to the same prompt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lavra.base.errors import InputError
from lavra.evaluation.human.answers import ModelAnswer


def pairs_of(answers: Sequence[ModelAnswer]) -> tuple[list[tuple[ModelAnswer, ModelAnswer]], list[str]]:
    """Pair answers; return the pairs, and a sentence about each kind of pair that is left out.

    Raises:
        InputError: no two models answer the same prompt in different words.
    """
    by_prompt: dict[str, dict[str, ModelAnswer]] = {}
    for one in answers:
        by_prompt.setdefault(one.prompt, {})[one.model] = one
    models = sorted({one.model for one in answers})
    wanted = list(itertools.combinations(models, 2))
    there = [(of[a], of[b]) for of in by_prompt.values() for a, b in wanted if a in of and b in of]
    different = [pair for pair in there if pair[0].answer != pair[1].answer]
    if not different:
        raise InputError(
            f"no two models answer one prompt in different words ({len(models)} models, {len(by_prompt)} prompts); "
            "give the answers of another model, or a rubric that scores one answer"
        )
    missing = len(by_prompt) * len(wanted) - len(there)
    notes = [f"{missing:,} pairs are left out, since one of the two models has no answer to the prompt"] * bool(missing)
    if len(different) < len(there):
        notes.append(f"{len(there) - len(different):,} pairs are left out, since both answers are the same text")
    return different, notes
