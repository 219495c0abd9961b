"""Checks that the rows of a run match their samples, read back from token ids.

Rows are made by offsets, masks and indexes, and checked in another way: the tokens with a label are decoded and
compared with the person's text.  Letters and digits alone are compared, because tokenizers change case, accents and
spaces.  Rows that were cut and texts with unknown tokens cannot be compared; they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from torch import Tensor

from lavra.base.checks import Check
from lavra.base.lazy import resolve
from lavra.data.batch import IGNORE, Batch
from lavra.data.rows.batch import TaskBatch
from lavra.data.rows.batches import TaskRows
from lavra.runs.finetune import Prepared
from lavra.tasks.learning.read_back import ReadBackRow, RowReader

_LOOKED_AT: Final = 200  # rows, evenly over all
_MOST_BATCHES: Final = 500  # batches whose labels are checked, evenly over an epoch
_MOST_ODD: Final = 0.02  # share of the rows: some texts hold characters that a tokenizer drops
_NAMES: Final = 10  # labels named in a message
_DEFECT: Final = "the rows are not what the file says, which is a defect of lavra: report it with this line"


def range_check(prepared: Prepared) -> Check:
    """Check that the labels of the loss are outputs of the model, and ids rows of its embedding."""
    recipe, batches = prepared.recipe, prepared.training_task.objective.batches
    vocabulary = recipe.model_config.vocab_size
    taken = range(0, len(batches), -(-len(batches) // _MOST_BATCHES))
    strangers, outside, seen = 0, 0, set[int]()
    for index in taken:
        batch = batches.batch(index)
        ids, labels = batch.input_ids, batch.labels[batch.labels != IGNORE]
        strangers += int(((ids < 0) | ((ids >= vocabulary) & ~_among(ids, recipe.virtual))).sum())
        if not labels.is_floating_point():
            outside += int(((labels < 0) | (labels >= _outputs(prepared, batch))).sum())
            seen.update(labels.tolist())
    model_labels = recipe.head.labels if recipe.head is not None else ()
    remedy = ""
    if strangers:
        remedy = f"{strangers:,} ids are not among the {vocabulary:,} of the model: use the tokenizer it came with"
    elif outside:
        remedy = f"{outside:,} labels, from {min(seen)} to {max(seen)}, are no answer of the model; {_DEFECT}"
    elif prepared.data.labels and tuple(model_labels) != prepared.data.labels:
        theirs = ", ".join(prepared.data.labels)
        remedy = f"the model's labels are {', '.join(model_labels)} and the data's {theirs}; {_DEFECT}"
    found = f"labels from {min(seen)} to {max(seen)}" if seen else "numbers"
    names = (
        f" for {', '.join(map(repr, model_labels[:_NAMES]))}{', …' if len(model_labels) > _NAMES else ''}"
        if seen and model_labels
        else ""
    )
    return Check(
        name="labels of the loss are the model's",
        passed=not remedy,
        detail=f"{found}{names} in {len(taken):,} of {len(batches):,} batches",
        remedy=remedy,
    )


def _among(ids: Tensor, virtual: Sequence[int]) -> Tensor:
    return sum((ids == one for one in virtual), ids != ids).bool()


def _outputs(prepared: Prepared, batch: TaskBatch | Batch) -> int:
    """Number of possible answers for a label of a batch."""
    recipe, head = prepared.recipe, prepared.config.task.head
    if isinstance(batch, Batch):
        return recipe.model_config.vocab_size
    if head is None or recipe.head is None:  # embeddings: the answer is a text of the batch
        return len(batch.input_ids) // batch.group
    return int(resolve(head.num_answers)(batch, recipe.head))


def text_check(prepared: Prepared) -> Check:
    """Check decoded rows against their samples."""
    recipe, table = prepared.recipe, prepared.training_task.rows
    reader = RowReader(
        table=table,
        tokenizer=prepared.tokenizer,
        num_virtual=recipe.num_virtual,
        labels=recipe.head.labels if recipe.head is not None else (),
        max_length=recipe.form.max_tokens,
    )
    sources = table.sources if isinstance(table, TaskRows) else table.sequences.sources
    numbers = np.linspace(0, len(sources) - 1, min(_LOOKED_AT, len(sources))).astype(int).tolist()
    name, reference = prepared.config.task.reads_back
    look = resolve(reference)
    found = [look(reader, number, prepared.data.train[sources[number]]) for number in numbers]
    return verdict(name, [one for one in found if one is not None], len(numbers))


def verdict(name: str, looked: Sequence[ReadBackRow], num_rows: int) -> Check:
    """The result of the rows that were read back."""
    wrong = [one for one in looked if one.wrong and not one.odd]
    odd = [one for one in looked if one.odd]
    detail, remedy = f"{len(looked)} of {num_rows} rows read back", ""
    if looked:
        detail += f", such as {looked[0].shown}"
    if not looked:
        detail += "; the rest is cut, or has tokens the tokenizer does not know"
        remedy = "raise --max-tokens, or use a model whose tokenizer knows this language"
    elif wrong:
        remedy = f"{len(wrong)} are wrong: {wrong[0].wrong}; {_DEFECT}"
    elif len(odd) > _MOST_ODD * len(looked):
        remedy = (
            f"{len(odd)} differ: {odd[0].wrong}; the tokenizer loses text, so use one that was made for texts like it"
        )
    return Check(name=name, passed=not remedy, detail=detail, remedy=remedy)
