"""Rows with a soft prompt's virtual tokens in front of every text.

Virtual tokens are ids beyond the vocabulary, so rows, masks, positions and packing are those of any text.  Their places
have no labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import EncodedRows, RowFormat
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.passages import QuestionRows
from lavra.data.rows.words import TagRows

RowsT = TypeVar("RowsT", TaskRows, LanguageRows)


def with_virtual_tokens(rows: RowsT, ids: Sequence[int], *, packed: bool = False, in_target: bool = False) -> RowsT:
    """Put the virtual tokens in front of every text of the rows.

    Args:
        rows: rows of whole texts: not of tags or spans, whose places would move.
        ids: ids of the virtual tokens; without ids the rows stay the same.
        packed: lay a language model's sequences several to a row again.
        in_target: virtual tokens stand in front of the text that an encoder-decoder writes, as a prefix's do, instead
            of the text that it reads.

    Raises:
        ConfigError: rows of tags or spans, or `in_target` of rows without a target of their own.
    """
    if not ids:
        return rows
    front = np.asarray(ids, dtype=np.int32)
    form = longer(rows.form, len(ids))
    if isinstance(rows, LanguageRows):
        return _in_target(rows, front, packed) if in_target else _language(rows, front, form, packed)
    if in_target:
        raise ConfigError("a head reads no target, so virtual tokens cannot stand in front of it; use prompt")
    if isinstance(rows, TagRows | QuestionRows) or rows.token_targets is not None:
        raise ConfigError(
            "virtual tokens in front of a text move the places of its words, which tags and spans are learnt at; "
            "use lora, or another method without them"
        )
    types = rows.encoded.types
    encoded = EncodedRows(
        ids=tuple(np.concatenate([front, row]) for row in rows.encoded.ids),
        types=None if types is None else tuple(np.concatenate([np.zeros_like(front), row]) for row in types),
        sources=rows.encoded.sources,
        issues=rows.encoded.issues,
    )
    return replace(rows, encoded=encoded, form=form)


def longer(form: RowFormat, num_tokens: int) -> RowFormat:
    """The form of rows that are longer by `num_tokens`."""
    return replace(form, max_tokens=form.max_tokens + num_tokens)


def _in_target(rows: LanguageRows, front: np.ndarray, packed: bool) -> LanguageRows:
    sequences = rows.sequences
    if sequences.decoder_inputs is None:
        raise ConfigError("a decoder's rows have no target of their own: virtual tokens stand in front of the text")
    made = replace(
        sequences,
        decoder_inputs=tuple(np.concatenate([front, one]) for one in sequences.decoder_inputs),
        labels=tuple(np.concatenate([np.full_like(front, IGNORE), one]) for one in sequences.labels),
    )
    most = rows.max_target_tokens + len(front)
    return LanguageRows.of(made, rows.form, packed=packed, max_target_tokens=most)


def _language(rows: LanguageRows, front: np.ndarray, form: RowFormat, packed: bool) -> LanguageRows:
    sequences = rows.sequences
    inputs = tuple(np.concatenate([front, one]) for one in sequences.inputs)
    if sequences.decoder_inputs is not None:
        made = replace(sequences, inputs=inputs)
    else:
        nothing = np.full(len(front), IGNORE, dtype=np.int32)
        labels = tuple(np.concatenate([nothing, one]) for one in sequences.labels)
        made = replace(sequences, inputs=inputs, labels=labels)
    return LanguageRows.of(made, form, packed=packed, max_target_tokens=rows.max_target_tokens or None)
