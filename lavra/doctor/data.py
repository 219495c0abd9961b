"""What `lavra doctor` checks of labelled data before a model is asked: what is left out, lengths, labels, leaks.

Each check has a bound, and says the value and what to do about it.  Whether rows say what samples say is
the business of `lavra.doctor.rows`.
"""

from __future__ import annotations

import copy
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from lavra.base.checks import Check
from lavra.base.tasks import Task
from lavra.data.labelled.labels import names_of
from lavra.data.labelled.samples import (
    ChatSample,
    ChoiceSample,
    PairSample,
    QuestionSample,
    RewriteSample,
    Sample,
    TagSample,
    TextSample,
)
from lavra.data.rows.batches import RowBatches, TaskRows
from lavra.data.rows.language import LanguageRows
from lavra.generate.in_process import context_length
from lavra.metrics.tag_schemes import OUTSIDE, parts
from lavra.runs.finetune import Prepared
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.recipes import AnyRecipe
from lavra.tasks.learning.writing import WritingRecipe

_MOST_LEFT_OUT: Final = 0.05  # of the samples read
_MOST_LONG: Final = 0.05  # of the samples: what is cut off one may be what its label is about
_LEAST: Final = 2  # samples of a label, or nothing is left to learn from when one is held out
_UNBOUNDED: Final = 1 << 20  # tokens; no text is as long
_WINDOWED: Final = (Task.NER, Task.QA)  # long texts are read in windows, and nothing of them is lost
_SHOWN: Final = 5  # labels named in a message


def recipe_of(prepared: Prepared) -> AnyRecipe:
    """The run's recipe, as one of those there are."""
    assert isinstance(prepared.recipe, HeadedRecipe | EmbeddedRecipe | WritingRecipe)
    return prepared.recipe


def table_of(prepared: Prepared) -> TaskRows | LanguageRows:
    """The rows the run learns from."""
    return _table(prepared.lesson.objective.batches)


def left_out_check(prepared: Prepared) -> Check:
    """How many samples were read, and how many are left out."""
    reports = prepared.reports()
    read = sum(report.num_read for report in reports)
    left_out = read - sum(report.num_usable for report in reports)
    passed = left_out <= _MOST_LEFT_OUT * read
    groups = sorted((group for report in reports for group in report.groups), key=lambda group: -group.num_dropped)
    return Check(
        name="samples",
        passed=passed,
        detail=(
            f"{read:,} read, {left_out:,} left out ({left_out / read:.1%}, {_MOST_LEFT_OUT:.0%} are allowed); "
            f"{len(prepared.data.train):,} to learn from, {len(prepared.data.heldout):,} to measure on"
        ),
        remedy="" if passed else f"{groups[0].remedy}; lavra finetune --check lists the lines",
    )


def length_check(prepared: Prepared) -> Check:
    """How long samples are beside a row, what becomes of those that are longer, and which is the longest."""
    room, task = recipe_of(prepared).form.max_tokens, prepared.config.task
    lengths, sources = whole_lengths(prepared)
    long = float((lengths > room).mean())
    passed = task in _WINDOWED or long <= _MOST_LONG
    longest = prepared.data.train[sources[int(lengths.argmax())]].place
    middle, most = (int(np.percentile(lengths, share)) for share in (50, 95))
    dropped = prepared.config.on_long == "drop" or task is Task.CHAT
    fate = "left out" if dropped else "read in windows" if task in _WINDOWED else "cut"
    return Check(
        name="lengths",
        passed=passed,
        detail=(
            f"half of the samples have up to {middle:,} tokens, 95% up to {most:,}, the longest {int(lengths.max()):,} "
            f"({longest}); a row holds {room:,}: {long:.1%} are longer and {fate}"
        ),
        remedy="" if passed else _longer_rows(prepared, most),
    )


def whole_lengths(prepared: Prepared) -> tuple[np.ndarray, tuple[int, ...]]:
    """(N,) tokens of each training sample if nothing were cut, and (N,) its number among them."""
    recipe = copy.copy(recipe_of(prepared))
    recipe.form = replace(recipe.form, max_tokens=_UNBOUNDED)
    recipe.virtual = ()
    rows = _table(recipe.lesson(prepared.data.train).objective.batches)
    if isinstance(rows, TaskRows):
        return np.asarray(rows.lengths), rows.sources
    return np.asarray([len(ids) for ids in rows.sequences.inputs]), rows.sequences.sources


def _table(batches: Any) -> TaskRows | LanguageRows:
    assert isinstance(batches, RowBatches)
    table = batches.table
    assert isinstance(table, TaskRows | LanguageRows)
    return table


def _longer_rows(prepared: Prepared, wanted: int) -> str:
    recipe = recipe_of(prepared)
    context = context_length(recipe.model.config)
    most = wanted if context is None else min(wanted, context)
    if most > recipe.form.max_tokens:
        holds = "would hold 95% of them whole" if most == wanted else "is what the model reads at most"
        return f"--max-tokens {most} {holds}; or shorten the texts"
    return f"the model reads at most {context} tokens: shorten or divide the texts, or take one with a longer context"


def balance_check(samples: Sequence[Sample]) -> Check | None:
    """How often each label occurs: one that hardly does is not learnt, one that always does teaches nothing.

    Returns:
        None where there are no labels to count: questions, pairs without scores, conversations, texts to be written.
    """
    numbers = [value for sample in samples for value in _numbers(sample)]
    if numbers:
        return _spread(numbers)
    counts = Counter(name for sample in samples for name in _names(sample))
    if not counts:
        return None
    total = sum(counts.values())
    shown = ", ".join(f"{name} {count:,} ({count / total:.0%})" for name, count in counts.most_common(_SHOWN))
    hidden = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    remedy = ""
    if len(counts) == 1:
        remedy = f"it is always {next(iter(counts))!r}, so there is nothing to tell apart: give samples of others"
    rare = [] if isinstance(samples[0], ChoiceSample) else [name for name in counts if counts[name] < _LEAST]
    if rare and not remedy:
        names = ", ".join(sorted(rare)[:_SHOWN])
        remedy = f"fewer than {_LEAST} samples each of {len(rare)} labels ({names}): give more, or leave them out"
    return Check(name="labels", passed=not remedy, detail=f"{shown}{hidden}", remedy=remedy)


def _spread(numbers: Sequence[float]) -> Check:
    passed = min(numbers) < max(numbers)
    return Check(
        name="labels",
        passed=passed,
        detail=f"numbers from {min(numbers):g} to {max(numbers):g}, on average {np.mean(numbers):.4g}",
        remedy="" if passed else "all are the same, so there is nothing to learn: is it the right column?",
    )


def _numbers(sample: Sample) -> Iterator[float]:
    value = sample.label if isinstance(sample, TextSample) else getattr(sample, "score", None)
    if isinstance(value, float):
        yield value


def _names(sample: Sample) -> Iterable[str]:
    if isinstance(sample, TextSample):
        return names_of(sample.label)
    if isinstance(sample, TagSample):
        return [tag if tag == OUTSIDE else parts(tag)[1] or tag for tag in sample.tags or ()]
    if isinstance(sample, ChoiceSample) and sample.label is not None:
        return [f"choice {sample.label}"]
    return []


def overlap_check(train: Sequence[Sample], heldout: Sequence[Sample]) -> Check:
    """Whether what is measured on was learnt from; letter case, accents and white space do not make another text."""
    learnt = {_key(sample) for sample in train}
    found = [sample for sample in heldout if _key(sample) in learnt]
    first = f", the first at {found[0].place}" if found else ""
    return Check(
        name="train and held-out apart",
        passed=not found,
        detail=f"{len(found):,} of {len(heldout):,} held-out samples are in the training data too{first}",
        remedy="take them out of one of the two, or the scores count what was learnt by heart" if found else "",
    )


def plain(text: str) -> str:
    """Letters and digits alone, without case and accents: what every tokenizer keeps of a text."""
    return "".join(character for character in _parted(text) if character.isalnum())


def _parted(text: str) -> str:
    """Without case; accents stand by themselves."""
    return unicodedata.normalize("NFKD", text).casefold()


def _key(sample: Sample) -> Hashable:
    """What two samples must not share.  Signs count: `a + b` and `a - b` are two texts."""
    return tuple(
        "".join(one for one in _parted(text) if not one.isspace() and not unicodedata.combining(one))
        for text in _texts(sample)
    )


def _texts(sample: Sample) -> list[str]:
    if isinstance(sample, TextSample):
        return [sample.text, sample.pair or ""]
    if isinstance(sample, TagSample):
        return [" ".join(sample.words)]
    if isinstance(sample, QuestionSample):
        return [sample.question, sample.context]
    if isinstance(sample, ChoiceSample):
        return [sample.text, *sample.choices]
    if isinstance(sample, PairSample):
        return [sample.anchor, sample.positive]
    if isinstance(sample, ChatSample):
        return [str(message.get("content")) for message in sample.messages]
    assert isinstance(sample, RewriteSample)
    return [sample.source]
