"""A model with a task's head and its tokenizer, and the logits of many rows at once.

What logits mean is said beside it, a task a file: `classify`, `tag`, `answer`, `rerank`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.arrays import Float32s
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.predictions import TextOrPair
from lavra.data.labelled.samples import Place, TextSample
from lavra.data.rows.batches import TaskRows, inference_batches
from lavra.data.rows.encoding import CUT, OnLong, RowFormat
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.generate.reading import context_length
from lavra.model.heads import TaskModel
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import task_of_head
from lavra.tokens.tokenizer import Tokenizer

_UNBOUNDED = 4096  # tokens read by a model whose positions have no end
_NOTHING: Float32s = np.zeros((0, 1), dtype=np.float32)
_REMEDIES = {True: "shorten it, or set truncate", False: "leave it out"}


@dataclass(frozen=True, kw_only=True)
class TextGroup:
    """Texts, or pairs, that one question is about.

    Attributes:
        texts: any number of them.
        truncate: whether what is too long may be cut.
        name: of the group, for errors: `text 3`.
        part: what to call one of several texts: `choice`; empty where there is one.
    """

    texts: Sequence[TextOrPair]
    truncate: bool
    name: str
    part: str = ""

    def named(self, number: int) -> str:
        """One of its texts, for errors."""
        return f"{self.part} {number} of {self.name}" if self.part else self.name


@dataclass(frozen=True, kw_only=True)
class GroupLogits:
    """What the model makes of a group.

    Attributes:
        logits: (texts, outputs).
        num_tokens: read.
        truncated: whether any text was cut.
        warnings: what was cut, and what else was not read as it was given.
    """

    logits: Float32s
    num_tokens: int
    truncated: bool
    warnings: tuple[str, ...]


class HeadedModel:
    """What predicts.

    Args:
        model: in evaluation mode.
        tokenizer: its own.
        batch_size: samples computed together.
        max_tokens: most tokens of a text; the model's context, less the virtual ones, by default.
        virtual: ids of a soft prompt's tokens, put in front of every text.
    """

    def __init__(
        self,
        model: TaskModel,
        tokenizer: Tokenizer,
        *,
        batch_size: int = 32,
        max_tokens: int | None = None,
        virtual: tuple[int, ...] = (),
    ) -> None:
        self.model, self.tokenizer, self.batch_size, self.virtual = model, tokenizer, batch_size, virtual
        self.max_tokens = max_tokens or (context_length(model.config) or _UNBOUNDED) - len(virtual)

    @property
    def spec(self) -> TaskSpec:
        """The task it was made for."""
        return task_of_head(self.model.task.task, self.model.task.head)

    def require(self, *tasks: TaskSpec) -> None:
        """Refuse what the head was not made for.

        Raises:
            InputError: naming the task it was made for.
        """
        if self.spec not in tasks:
            wanted = " or ".join(task.name for task in tasks)
            raise InputError(
                f"this model was finetuned for {self.spec.name!r} and {wanted!r} is asked of it; "
                f"load one finetuned with lavra finetune --task {tasks[0].name}"
            )

    def form(self, *, truncate: bool) -> RowFormat:
        """How it reads texts; those that are too long are cut, or refused."""
        on_long: OnLong = "cut" if truncate else "refuse"
        return RowFormat(
            tokenizer=self.tokenizer,
            max_tokens=self.max_tokens,
            num_token_types=self.model.config.num_token_types,
            on_long=on_long,
            multiple=1,
        )

    def read(self, groups: Sequence[TextGroup]) -> list[GroupLogits]:
        """The logits of texts and pairs, those of all groups computed together.

        Raises:
            ContextLengthError: one is too long, naming both lengths, and its group does not allow it to be cut.
            InputError: one has no tokens.
        """
        texts = [(group, number) for group in groups for number in range(len(group.texts))]
        samples = [_sample(group, number, Place(line=line)) for line, (group, number) in enumerate(texts)]
        rows = unlabelled_text_rows(samples, self.form(truncate=True))
        warnings: dict[int, list[str]] = {}
        for trouble in rows.troubles:
            group, number = texts[trouble.place.line]
            is_long = CUT in trouble.what
            if trouble.dropped or (is_long and not group.truncate):
                kind = ContextLengthError if is_long else InputError
                raise kind(f"{group.named(number)}: {trouble.what.replace(CUT, '')}; {_REMEDIES[is_long]}")
            # What is said of pairs as such stands at the first one; whoever comes first must not matter.
            lines = [trouble.place.line] if is_long else [n for n, one in enumerate(samples) if one.pair is not None]
            for line in lines:
                warnings.setdefault(line, []).append(trouble.what)
        logits = self.logits(rows)
        lengths = [len(ids) + len(self.virtual) for ids in rows.encoded.ids]
        found, first = [], 0
        for group in groups:
            lines = list(range(first, first + len(group.texts)))
            first += len(group.texts)
            told = [(line - lines[0], what) for line in lines for what in warnings.get(line, [])]
            found.append(
                GroupLogits(
                    logits=np.stack([logits[line] for line in lines]) if lines else _NOTHING,
                    num_tokens=sum(lengths[line] for line in lines),
                    truncated=any(CUT in what for _, what in told),
                    warnings=tuple(f"{group.part} {number}: {what}" if group.part else what for number, what in told),
                )
            )
        return found

    def logits(self, rows: TaskRows) -> list[Float32s]:
        """Of each sample of a table, in its order: (N,) of a text, (T, N) where there is one a token, (G, N) of groups.

        Padding is left out.
        """
        rows = with_virtual_tokens(rows, self.virtual)
        found: list[Float32s] = [np.zeros(0, dtype=np.float32)] * len(rows)
        device = next(self.model.parameters()).device
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for numbers, batch in inference_batches(rows, self.batch_size):
                moved = batch.to(device)
                mask = None if bool(moved.attention_mask.all()) else moved.attention_mask
                out = self.model(moved.input_ids, attention_mask=mask, token_type_ids=moved.token_type_ids)
                lengths = batch.attention_mask.sum(dim=1).tolist()
                arrays = out.float().cpu().numpy()
                for place, number in enumerate(numbers):
                    found[number] = _of_sample(arrays, place, batch.group, lengths)
        self.model.train(training)
        return found


def _of_sample(arrays: Float32s, place: int, group: int, lengths: Sequence[int]) -> Float32s:
    """One sample's part of a batch's logits."""
    if arrays.ndim == 3:
        return arrays[place, : lengths[place]]
    return arrays[place] if group == 1 else arrays[place * group : (place + 1) * group]


def _sample(group: TextGroup, number: int, place: Place) -> TextSample:
    text = group.texts[number]
    if isinstance(text, str):
        return TextSample(text=text, place=place)
    if not _is_pair(text):
        raise InputError(f"{group.named(number)} is {text!r}; give a str, or a tuple of two")
    return TextSample(text=text[0], pair=text[1], place=place)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
