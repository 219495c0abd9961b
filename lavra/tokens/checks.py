"""What `lavra doctor` checks of a tokenizer: round trip, stop token, chat template."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.checks import Check
from lavra.base.errors import LavraError
from lavra.tokens.conversation import begins_texts, conversation_ids, wrong_beginning
from lavra.tokens.roundtrip import check_round_trip
from lavra.tokens.tokenizer import Tokenizer

_TURNS = [{"role": "user", "content": "Good morning."}, {"role": "assistant", "content": "Good night."}]


def tokenizer_checks(tokenizer: Tokenizer, texts: Sequence[str], *, needs_stop: bool) -> list[Check]:
    """Every check of a tokenizer.

    Args:
        tokenizer: the tokenizer.
        texts: texts it will be used on.
        needs_stop: whether a model with it must learn where to stop (decoders and encoder-decoders).
    """
    checks = [_round_trip(tokenizer, texts)]
    if needs_stop:
        checks.append(_stop_token(tokenizer))
    if tokenizer.chat_template is not None:
        checks.append(_template(tokenizer))
    return checks


def _round_trip(tokenizer: Tokenizer, texts: Sequence[str]) -> Check:
    report = check_round_trip(tokenizer, texts)
    passed = report.num_changed == 0 if tokenizer.is_lossless else report.unknown_tokens == 0
    return Check(
        name="tokenizer round trip",
        passed=passed,
        detail=(
            f"{report.num_exact} of {report.num_texts} texts come back exactly, {report.unknown_tokens} unknown tokens"
        ),
        remedy="" if passed else "train the tokenizer on text like this, or use a byte-level one (kind bpe)",
    )


def _stop_token(tokenizer: Tokenizer) -> Check:
    eos = tokenizer.eos_id
    return Check(
        name="stop token",
        passed=eos is not None,
        detail="no end-of-text token" if eos is None else f"{tokenizer.token(eos)!r} is number {eos}",
        remedy="" if eos is not None else "set eos_token in tokenizer_config.json: without it a model never stops",
    )


def _template(tokenizer: Tokenizer) -> Check:
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
