"""The checks of `lavra doctor` on labelled data before a model is run: samples left out, lengths, labels, leaks.

Each check has a bound, and reports the value and the remedy.  `lavra.doctor.rows` checks that rows match
their samples.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from lavra.base.checks import Check
from lavra.data.labelled.samples import Sample
from lavra.data.rows.batches import TaskRows
from lavra.generate.prompt_encoding import context_length
from lavra.runs.finetune import Prepared
from lavra.tasks.keys import sample_key
from lavra.tasks.spec import TaskSpec

_MOST_LEFT_OUT: Final = 0.05  # share of the samples read
_MOST_LONG: Final = 0.05  # share of the samples: the cut may remove the part that explains the label
_LEAST: Final = 2  # samples of a label; with fewer, none is left to learn from when one is held out
_UNBOUNDED: Final = 1 << 20  # tokens; no text is as long
_SHOWN: Final = 5  # labels named in a message


def left_out_check(prepared: Prepared) -> Check:
    """Check the share of samples that are left out."""
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
    """Check the lengths of samples against a row: the treatment of longer samples, and the longest sample."""
    max_length, task = prepared.recipe.form.max_tokens, prepared.config.task
    lengths, sources = whole_lengths(prepared)
    long = float((lengths > max_length).mean())
    has_windows = task.head is not None and task.head.has_windows
    passed = has_windows or long <= _MOST_LONG
    longest = prepared.data.train[sources[int(lengths.argmax())]].place
    middle, most = (int(np.percentile(lengths, share)) for share in (50, 95))
    dropped = prepared.config.on_long == "drop" or (task.writing is not None and task.writing.is_chat)
    fate = "left out" if dropped else "read in windows" if has_windows else "cut"
    return Check(
        name="lengths",
        passed=passed,
        detail=(
            f"half of the samples have up to {middle:,} tokens, 95% up to {most:,}, the longest {int(lengths.max()):,} "
            f"({longest}); a row holds {max_length:,}: {long:.1%} are longer and {fate}"
        ),
        remedy="" if passed else _longer_rows(prepared, most),
    )


def whole_lengths(prepared: Prepared) -> tuple[np.ndarray, tuple[int, ...]]:
    """The uncut length (N,) in tokens of each training sample, and (N,) its number among them."""
    recipe = copy.copy(prepared.recipe)
    recipe.form = replace(recipe.form, max_tokens=_UNBOUNDED)
    recipe.virtual = ()
    rows = recipe.training_task(prepared.data.train).rows
    if isinstance(rows, TaskRows):
        return np.asarray(rows.lengths), rows.sources
    return np.asarray([len(ids) for ids in rows.sequences.inputs]), rows.sequences.sources


def _longer_rows(prepared: Prepared, wanted: int) -> str:
    recipe = prepared.recipe
    context = context_length(recipe.model_config)
    most = wanted if context is None else min(wanted, context)
    if most > recipe.form.max_tokens:
        holds = "would hold 95% of them whole" if most == wanted else "is what the model reads at most"
        return f"--max-tokens {most} {holds}; or shorten the texts"
    return f"the model reads at most {context} tokens: shorten or divide the texts, or take one with a longer context"


def balance_check(task: TaskSpec, samples: Sequence[Sample]) -> Check | None:
    """Check how often each label occurs: a rare label is not learnt, and a constant label teaches nothing.

    Returns:
        None for samples without labels to count: questions, pairs without scores, conversations, texts to be written.
    """
    labels = [label for sample in samples for label in task.labels(sample)]
    numbers = [label for label in labels if isinstance(label, float)]
    if numbers:
        return _spread(numbers)
    counts = Counter(str(label) for label in labels)
    if not counts:
        return None
    total = sum(counts.values())
    shown = ", ".join(f"{name} {count:,} ({count / total:.0%})" for name, count in counts.most_common(_SHOWN))
    hidden = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    remedy = ""
    if len(counts) == 1:
        remedy = f"it is always {next(iter(counts))!r}, so there is nothing to learn: give samples of other labels"
    rare = [] if task.has_places else [name for name in counts if counts[name] < _LEAST]
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


def overlap_check(task: TaskSpec, train: Sequence[Sample], heldout: Sequence[Sample]) -> Check:
    """Check that no held-out text was learnt from; letter case, accents and white space do not make another text."""
    learnt = {sample_key(task, sample) for sample in train}
    found = [sample for sample in heldout if sample_key(task, sample) in learnt]
    first = f", the first at {found[0].place}" if found else ""
    return Check(
        name="train and held-out apart",
        passed=not found,
        detail=f"{len(found):,} of {len(heldout):,} held-out samples are in the training data too{first}",
        remedy="take them out of one of the two, or the scores count what was learnt by heart" if found else "",
    )
