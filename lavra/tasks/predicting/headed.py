"""A model with a task's head and its tokenizer: from texts to rows to logits, whichever runner computes these.

Each task's own file reads its logits: `classify`, `tag`, `answer`, `rerank`.  Torch's logits are in
`torch_headed`, the native runner's in `lavra.api.native_headed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.predictions import TextOrPair
from lavra.data.labelled.samples import Place, TextSample
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import CUT, OnLong, RowFormat
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.generate.prompt_encoding import context_length
from lavra.model.config import ModelConfig
from lavra.model.task_config import TaskConfig
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import task_of_head
from lavra.tokens.tokenizer import Tokenizer

_UNBOUNDED = 4096  # tokens read by a model without a limit
_NOTHING: Float32s = np.zeros((0, 1), dtype=np.float32)
_REMEDIES = {True: "shorten it, or set truncate", False: "leave it out"}


@dataclass(frozen=True, kw_only=True)
class TextGroup:
    """Texts, or pairs, that one question is about.

    Attributes:
        texts: any number of them.
        truncate: whether a text that is too long may be cut.
        name: name of the group, for errors: `text 3`.
        part: the word for each of several texts: `choice`; empty where there is one.
    """

    texts: Sequence[TextOrPair]
    truncate: bool
    name: str
    part: str = ""

    def named(self, number: int) -> str:
        """The name of one of its texts, for errors."""
        return f"{self.part} {number} of {self.name}" if self.part else self.name


@dataclass(frozen=True, kw_only=True)
class GroupLogits:
    """The logits of a group of texts.

    Attributes:
        logits: (texts, outputs).
        num_tokens: read.
        truncated: whether any text was cut.
        warnings: texts that were cut, and other changes of the input.
    """

    logits: Float32s
    num_tokens: int
    truncated: bool
    warnings: tuple[str, ...]


class HeadedNetwork(Protocol):
    """A backbone and a task's head, in this process."""

    @property
    def task(self) -> TaskConfig:
        """The task of the head, with its labels."""
        ...

    @property
    def config(self) -> ModelConfig:
        """The configuration of the backbone."""
        ...


class HeadedModel(ABC):
    """A model with a task's head that reads texts.

    Args:
        model: the weights, and the task of the head.
        tokenizer: the model's tokenizer.
        batch_size: samples computed together.
        max_tokens: most tokens of a text; the model's context, less the virtual ones, by default.
        virtual: ids of a soft prompt's tokens, put in front of every text.
    """

    def __init__(
        self,
        model: HeadedNetwork,
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
        """Refuse tasks that the head was not made for.

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
        """The format of its rows; texts that are too long are cut, or refused."""
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
            ContextLengthError: a text is too long, and its group does not allow a cut; names both lengths.
            InputError: a text has no tokens.
        """
        texts = [(group, number) for group in groups for number in range(len(group.texts))]
        samples = [_sample(group, number, Place(line=line)) for line, (group, number) in enumerate(texts)]
        rows = unlabelled_text_rows(samples, self.form(truncate=True))
        warnings: dict[int, list[str]] = {}
        for issue in rows.issues:
            group, number = texts[issue.place.line]
            is_long = CUT in issue.what
            if issue.dropped or (is_long and not group.truncate):
                kind = ContextLengthError if is_long else InputError
                raise kind(f"{group.named(number)}: {issue.what.replace(CUT, '')}; {_REMEDIES[is_long]}")
            # An issue of all pairs stands at the first pair; the order of pairs must not matter.
            lines = [issue.place.line] if is_long else [n for n, one in enumerate(samples) if one.pair is not None]
            for line in lines:
                warnings.setdefault(line, []).append(issue.what)
        logits = self.logits(rows)
        lengths = [len(ids) + len(self.virtual) for ids in rows.encoded.ids]
        found, first = [], 0
        for group in groups:
            lines = list(range(first, first + len(group.texts)))
            first += len(group.texts)
            noted = [(line - lines[0], what) for line in lines for what in warnings.get(line, [])]
            found.append(
                GroupLogits(
                    logits=np.stack([logits[line] for line in lines]) if lines else _NOTHING,
                    num_tokens=sum(lengths[line] for line in lines),
                    truncated=any(CUT in what for _, what in noted),
                    warnings=tuple(f"{group.part} {number}: {what}" if group.part else what for number, what in noted),
                )
            )
        return found

    @abstractmethod
    def logits(self, rows: TaskRows) -> list[Float32s]:
        """The logits of each sample, in the table's order, without padding.

        The shape is (N,) of a text, (T, N) where there is one a token, (G, N) of groups.
        """


def _sample(group: TextGroup, number: int, place: Place) -> TextSample:
    text = group.texts[number]
    if isinstance(text, str):
        return TextSample(text=text, place=place)
    if not _is_pair(text):
        raise InputError(f"{group.named(number)} is {text!r}; give a str, or a tuple of two")
    return TextSample(text=text[0], pair=text[1], place=place)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
