"""Sequences to be written token by token: each in a row of its own, or packed several to a row.

Packed sequences do not see each other (`segments`) and count their positions from 0 again, so the loss is that of
single rows, with less padding.  The sequences of a row are fixed once, by their lengths; the order of rows
is another in each epoch.  A decoder reads a sequence without its last token, and label t is the token behind token t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE, Batch
from lavra.data.labelled.samples import DataIssue
from lavra.data.rows.best_fit import best_fit
from lavra.data.rows.encoding import RowFormat


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Tokens to read and tokens to write.

    Attributes:
        inputs: (T,) tokens read, of each sequence.
        labels: (T,) the token to follow each of them; for an encoder-decoder (U,) the tokens to write.  `IGNORE` where
            nothing is learnt.
        names: a name for each sequence, for error messages.
        sources: number of each sequence's sample among those that were given.
        decoder_inputs: (U,) an encoder-decoder's labels moved right by one, behind its start token.
        issues: samples cut or left out, each with the reason.
    """

    inputs: tuple[Int32s, ...]
    labels: tuple[Int32s, ...]
    names: tuple[str, ...]
    sources: tuple[int, ...]
    decoder_inputs: tuple[Int32s, ...] | None = None
    issues: tuple[DataIssue, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LanguageRows:
    """Rows of one sequence, or of several.

    Attributes:
        sequences: all of them.
        rows: the sequences of each row.
        form: length and padding of rows.
        max_target_tokens: tokens an encoder-decoder's target row holds at most.
    """

    sequences: Sequences
    rows: tuple[tuple[int, ...], ...]
    form: RowFormat
    max_target_tokens: int = 0

    @classmethod
    def of(
        cls, sequences: Sequences, form: RowFormat, *, packed: bool, max_target_tokens: int | None = None
    ) -> LanguageRows:
        """Lay sequences out in rows.

        Args:
            sequences: none longer than a row.
            form: the format of the rows.
            packed: several to a row.
            max_target_tokens: tokens a target row holds at most, for an encoder-decoder.

        Raises:
            ConfigError: rows for an encoder-decoder without `max_target_tokens`.
        """
        lengths = [len(ids) for ids in sequences.inputs]
        targets = None
        if sequences.decoder_inputs is not None:
            targets = [len(ids) for ids in sequences.decoder_inputs]
            if max_target_tokens is None:
                raise ConfigError("an encoder-decoder's targets need max_target_tokens; set it")
        most = max_target_tokens or 0
        alone = [(number,) for number in range(len(lengths))]
        rows = best_fit(lengths, form.max_tokens, targets, most) if packed else alone
        return cls(sequences=sequences, rows=tuple(rows), form=form, max_target_tokens=most)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    @property
    def issues(self) -> tuple[DataIssue, ...]:
        """Samples cut or left out, each with the reason."""
        return self.sequences.issues

    @property
    def kinds(self) -> None:
        """None: all rows are alike."""
        return None

    @property
    def used_ids(self) -> None:
        """A model that writes uses its whole vocabulary."""
        return None

    @property
    def apart(self) -> None:
        """None: all rows may meet in a batch."""
        return None

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens read of each row."""
        return [sum(len(self.sequences.inputs[number]) for number in row) for row in self.rows]

    @property
    def num_targets(self) -> int:
        """Tokens to be learnt, in all."""
        return sum(int((labels != IGNORE).sum()) for labels in self.sequences.labels)

    def batch(self, samples: Sequence[int] | Int64s) -> Batch:
        """The rows with these numbers, padded to the longest."""
        rows = [self.rows[int(row)] for row in samples]
        inputs = _Side.of(rows, self.sequences.inputs, self.form, self.form.max_tokens)
        names = tuple(", ".join(self.sequences.names[number] for number in row) for row in rows)
        if self.sequences.decoder_inputs is None:
            return Batch(
                input_ids=inputs.ids(rows, self.sequences.inputs, self.form.pad_id),
                labels=inputs.ids(rows, self.sequences.labels, IGNORE),
                positions=inputs.positions,
                segments=inputs.segments,
                sample_ids=names,
            )
        targets = _Side.of(rows, self.sequences.labels, self.form, self.max_target_tokens)
        return Batch(
            input_ids=inputs.ids(rows, self.sequences.inputs, self.form.pad_id),
            labels=targets.ids(rows, self.sequences.labels, IGNORE),
            positions=inputs.positions,
            segments=inputs.segments,
            sample_ids=names,
            decoder_input_ids=targets.ids(rows, self.sequences.decoder_inputs, self.form.pad_id),
            decoder_segments=targets.segments,
        )


@dataclass(frozen=True)
class _Side:
    """The places of each row's sequences on one side of a batch."""

    positions: torch.Tensor
    segments: torch.Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], sequences: Sequence[Int32s], form: RowFormat, most: int) -> _Side:
        lengths = [[len(sequences[number]) for number in row] for row in rows]
        width = form.width(max(sum(row) for row in lengths), most)
        positions = np.zeros((len(rows), width), dtype=np.int64)
        segments = np.zeros((len(rows), width), dtype=np.int32)
        for place, row in enumerate(lengths):
            filled = sum(row)
            positions[place, :filled] = np.concatenate([np.arange(length) for length in row])
            segments[place, :filled] = np.repeat(np.arange(1, len(row) + 1), row)
        return cls(torch.from_numpy(positions), torch.from_numpy(segments))

    def ids(self, rows: Sequence[Sequence[int]], sequences: Sequence[Int32s], fill: int) -> torch.Tensor:
        ids: npt.NDArray[np.int64] = np.full(self.positions.shape, fill, dtype=np.int64)
        for place, row in enumerate(rows):
            joined = np.concatenate([sequences[number] for number in row])
            ids[place, : len(joined)] = joined
        return torch.from_numpy(ids)
