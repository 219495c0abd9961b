"""Checks of a tokenizer by `lavra doctor`: round trip, stop token, chat template."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.checks import Check
from lavra.base.errors import LavraError
from lavra.tokens.conversation import begins_texts, conversation_ids, wrong_beginning
from lavra.tokens.roundtrip import check_round_trip
from lavra.tokens.tokenizer import Tokenizer

_TURNS = [{"role": "user", "content": "Good morning."}, {"role": "assistant", "content": "Good night."}]


def round_trip_check(tokenizer: Tokenizer, texts: Sequence[str]) -> Check:
    """Texts come back from their tokens: exactly, or without unknown tokens where the tokenizer changes spelling."""
    report = check_round_trip(tokenizer, texts)
    passed = report.num_changed == 0 if tokenizer.is_lossless else report.unknown_tokens == 0
    return Check(
        name="tokenizer round trip",
        passed=passed,
        detail=(
            f"{report.num_exact} of {report.num_texts} texts come back exactly, {report.unknown_tokens} unknown tokens"
            f"{'' if tokenizer.is_lossless else ' (this kind changes spelling, so only unknown ones count)'}"
        ),
        remedy="" if passed else "train the tokenizer on text like this, or use a byte-level one (kind bpe)",
    )


def stop_check(tokenizer: Tokenizer) -> Check:
    """There is an end of text, so that a model can learn where to stop."""
    eos = tokenizer.eos_id
    return Check(
        name="stop token",
        passed=eos is not None,
        detail="no end-of-text token" if eos is None else f"{tokenizer.token(eos)!r} is number {eos}",
        remedy="" if eos is not None else "set eos_token in tokenizer_config.json: without it a model never stops",
    )


def template_check(tokenizer: Tokenizer) -> Check:
    """The template writes one turn and its answer, and as many beginnings as the tokenizer puts in front of a text."""
    try:
        asked = conversation_ids(tokenizer, _TURNS[:1])
        whole = conversation_ids(tokenizer, _TURNS, add_generation_prompt=False)
    except LavraError as error:
        return Check(name="chat template", passed=False, detail=str(error), remedy="mend chat_template.jinja")
    wrong = wrong_beginning(tokenizer, asked) or wrong_beginning(tokenizer, whole)
    begun = "one beginning of text" if begins_texts(tokenizer) else "no beginning of text wanted"
    return Check(
        name="chat template",
        passed=not wrong,
        detail=wrong
        or f"{len(asked)} tokens ask for an answer and {len(whole)} hold it, as learnt and served; {begun}",
        remedy="write {{ bos_token }} once, at the very beginning of chat_template.jinja" if wrong else "",
    )
