"""A model with a task's head and its tokenizer, and the logits of many rows at once.

What logits mean is said beside it, a task a file: `classify`, `tag`, `answer`, `rerank`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.predictions import TextOrPair
from lavra.base.tasks import Task
from lavra.data.supervised.row_batches import TaskRows, inference_batches
from lavra.data.supervised.rows import OnLong, RowFormat
from lavra.data.supervised.samples import Place, TextSample
from lavra.data.supervised.text_rows import unlabelled_text_rows
from lavra.generate.in_process import context_length
from lavra.model.heads import TaskModel
from lavra.tokens.tokenizer import Tokenizer

Logits = npt.NDArray[np.float32]

_UNBOUNDED = 4096  # tokens read by a model whose positions have no end


class HeadedModel:
    """What predicts.

    Args:
        model: in evaluation mode.
        tokenizer: its own.
        batch_size: samples computed together.
        max_tokens: most tokens of a row; the model's context by default.

    Attributes:
        virtual: ids of a soft prompt's tokens, put in front of every text.
    """

    def __init__(
        self, model: TaskModel, tokenizer: Tokenizer, *, batch_size: int = 32, max_tokens: int | None = None
    ) -> None:
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self.virtual: tuple[int, ...] = ()
        self.max_tokens = max_tokens or context_length(model.config) or _UNBOUNDED

    @property
    def task(self) -> Task:
        """What it was made for."""
        return self.model.task.task

    def require(self, *tasks: Task) -> None:
        """Refuse what the head was not made for.

        Raises:
            InputError: naming the task it was made for.
        """
        if self.task not in tasks:
            wanted = " or ".join(task.value for task in tasks)
            raise InputError(
                f"this model was finetuned for {self.task.value!r} and {wanted!r} is asked of it; "
                f"load one finetuned with lavra finetune --task {tasks[0].value}"
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

    def text_logits(self, texts: Sequence[TextOrPair], *, truncate: bool) -> tuple[Logits, set[int]]:
        """(N, outputs) for N texts or pairs, and which of them were cut.

        Raises:
            ContextLengthError: one is too long, naming both lengths.
            InputError: one has no tokens.
        """
        samples = [_sample(text, number) for number, text in enumerate(texts, start=1)]
        try:
            rows = unlabelled_text_rows(samples, self.form(truncate=truncate))
        except InputError as error:
            raise ContextLengthError(str(error)) if "a row holds" in str(error) else error from None
        dropped = next((trouble for trouble in rows.troubles if trouble.dropped), None)
        if dropped is not None:
            raise InputError(f"{dropped.place}: {dropped.what}; {dropped.remedy}")
        cut = {trouble.place.line - 1 for trouble in rows.troubles if "cut" in trouble.what}
        return np.stack(self.logits(rows)) if len(rows) else np.zeros((0, 1), dtype=np.float32), cut

    def logits(self, rows: TaskRows) -> list[Logits]:
        """Of each sample of a table, in its order: (N,) of a text, (T, N) where there is one a token, (G, N) of groups.

        Padding is left out.
        """
        rows = with_virtual_tokens(rows, self.virtual)
        found: list[Logits] = [np.zeros(0, dtype=np.float32)] * len(rows)
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


def _of_sample(arrays: Logits, place: int, group: int, lengths: Sequence[int]) -> Logits:
    """One sample's part of a batch's logits."""
    if arrays.ndim == 3:
        return arrays[place, : lengths[place]]
    return arrays[place] if group == 1 else arrays[place * group : (place + 1) * group]


def _sample(text: TextOrPair, number: int) -> TextSample:
    if isinstance(text, str):
        return TextSample(text=text, place=Place(line=number))
    if not _is_pair(text):
        raise InputError(f"text {number} is {text!r}; give a str, or a tuple of two")
    return TextSample(text=text[0], pair=text[1], place=Place(line=number))


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
