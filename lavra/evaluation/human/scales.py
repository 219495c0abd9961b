"""The scales on which people rate an answer, each step described in words.

Each scale has five steps with a description each, as is good practice in the evaluation of generated text (van der Lee
et al. 2021, "Human evaluation of automatically generated text"): people read bare numbers differently.  A scale may
allow `cannot tell`, which is kept and counted, since an annotator who does not know would otherwise guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lavra.base.errors import ConfigError, nearest

STEPS: Final = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class RatingScale:
    """A scale: one question about an answer, with five described steps.

    Attributes:
        name: name of the scale on the command line, in files and in results.
        question: question to the annotator.
        steps: meanings of 1 to 5, the worst first.
        may_not_know: whether `cannot tell` can be chosen.
    """

    name: str
    question: str
    steps: tuple[str, str, str, str, str]
    may_not_know: bool = False


SCALES: Final = {
    scale.name: scale
    for scale in (
        RatingScale(
            name="fluency",
            question="How well is it written?",
            steps=(
                "Cannot be read: words without grammar",
                "Hard to read: many mistakes",
                "Readable, with clear mistakes",
                "Good, with a small slip",
                "As a careful writer would put it",
            ),
        ),
        RatingScale(
            name="coherence",
            question="Does it hang together?",
            steps=(
                "No thread, or about something else",
                "Loses the thread, or contradicts itself",
                "On the subject, with gaps or repetition",
                "Clear, with a small detour",
                "One clear line from beginning to end",
            ),
        ),
        RatingScale(
            name="factuality",
            question="Is what it says true?",
            steps=(
                "Mostly false or invented",
                "An important mistake",
                "True and false in parts",
                "True, but for a detail",
                "All of it is true",
            ),
            may_not_know=True,
        ),
    )
}


def scales_named(names: Iterable[str]) -> tuple[RatingScale, ...]:
    """Find scales by name, in the order of the names.

    Raises:
        ConfigError: a name is unknown, or is given twice.
    """
    chosen = list(names)
    for name in chosen:
        if name not in SCALES:
            raise ConfigError(f"scales: there is no scale {name!r}{nearest(name, SCALES)}")
        if chosen.count(name) > 1:
            raise ConfigError(f"scales: {name!r} is named twice; name it once")
    return tuple(SCALES[name] for name in chosen)
