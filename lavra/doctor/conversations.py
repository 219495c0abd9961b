"""Checks that conversations are learnt as they will be read: with one beginning, and with the server's tokens.

Rows come from characters and offsets (`lavra.data.rows.turns`), a server's prompts from the template alone.  A model
that learns the tokens of rows and reads different prompts answers worse, and no error shows why.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lavra.base.checks import DEFECT, Check
from lavra.data.labelled.samples import ChatSample
from lavra.data.rows.language import LanguageRows
from lavra.runs.finetune import Prepared
from lavra.tokens.conversation import begins_texts, conversation_ids, wrong_beginning

_LOOKED_AT: Final = 200  # rows, evenly over all


def beginning_check(prepared: Prepared) -> Check | None:
    """Check that a decoder's rows begin with exactly one beginning-of-text token, where its tokenizer writes one.

    Returns:
        None where the run learns no rows for a decoder.
    """
    table = prepared.training_task.rows
    if not isinstance(table, LanguageRows) or table.sequences.decoder_inputs is not None:
        return None
    wrong = []
    for number in _looked_at(table):
        found = wrong_beginning(prepared.tokenizer, _read(prepared, table, number))
        wrong += [f"{table.sequences.names[number]}: {found}"] if found else []
    remedy = (
        "write {{ bos_token }} once, at the very beginning of chat_template.jinja" if _is_chat(prepared) else DEFECT
    )
    wanted = "each with one beginning of text" if begins_texts(prepared.tokenizer) else "none with two beginnings"
    return Check(
        name="one beginning of text",
        passed=not wrong,
        detail=wrong[0] if wrong else f"{len(_looked_at(table))} rows looked at, {wanted}",
        remedy=f"{len(wrong)} rows are wrong: {remedy}" if wrong else "",
    )


def serving_check(prepared: Prepared) -> Check | None:
    """Check that the rows of conversations have the tokens that a server reads for the same messages.

    Returns:
        None where the run learns no conversations.
    """
    table = prepared.training_task.rows
    if not _is_chat(prepared) or not isinstance(table, LanguageRows):
        return None
    numbers, wrong = _looked_at(table), ""
    for number in numbers:
        sample = prepared.data.train[table.sequences.sources[number]]
        assert isinstance(sample, ChatSample)
        read = _read(prepared, table, number)
        served = conversation_ids(prepared.tokenizer, sample.messages, tools=sample.tools, add_generation_prompt=False)
        if read != served[: len(read)]:
            pairs = enumerate(zip(read, served, strict=False))
            place = next((at for at, (ours, theirs) in pairs if ours != theirs), len(served))
            wrong = wrong or f"{sample.place} differs at token {place}"
    return Check(
        name="conversations are learnt as they are served",
        passed=not wrong,
        detail=wrong or f"{len(numbers)} rows are the template's own tokens",
        remedy=f"the model would learn texts that it never reads; {DEFECT}" if wrong else "",
    )


def _is_chat(prepared: Prepared) -> bool:
    writing = prepared.config.task.writing
    return writing is not None and writing.is_chat


def _looked_at(table: LanguageRows) -> list[int]:
    count = len(table.sequences.inputs)
    places: list[int] = np.linspace(0, count - 1, min(_LOOKED_AT, count)).astype(int).tolist()
    return places


def _read(prepared: Prepared, table: LanguageRows, number: int) -> list[int]:
    """The tokens read of a sequence, without a soft prompt's tokens in front."""
    ids: list[int] = table.sequences.inputs[number].tolist()
    return ids[prepared.recipe.num_virtual :]
