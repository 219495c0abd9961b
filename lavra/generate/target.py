"""What a `score` request asks: which ids are scored, which are read before them, and what to warn of; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lavra.base.errors import InputError
from lavra.base.types import ScoreRequest
from lavra.generate.plan import PromptReading


@dataclass(frozen=True, kw_only=True)
class GenerationTarget:
    """What one request asks to score.

    Attributes:
        context: ids read but not scored.
        source: ids an encoder-decoder's encoder reads.
        tokens: ids scored.
        num_bytes: UTF-8 length of the scored text.
        warnings: what the caller might not expect.
    """

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    num_bytes: int
    warnings: tuple[str, ...] = ()
    source: tuple[int, ...] | None = None


def plan_score(request: ScoreRequest, reading: PromptReading) -> GenerationTarget:
    """Split a request into what is context and what is scored.

    Raises:
        InputError: ids are out of range, or an encoder-decoder got no source.
    """
    if reading.decoder_start is not None:
        return _translation(request, reading, reading.decoder_start)
    warnings: tuple[str, ...] = ()
    context = () if request.given is None else tuple(reading.prompt_ids(request.given))
    if not isinstance(request.text, str):
        tokens = request.text
    elif request.given is None:
        context, tokens = reading.frame.before, tuple(reading.tokenizer.encode(request.text))
    else:
        tokens, warnings = _continuation(request.given, request.text, reading)
    return GenerationTarget(
        context=context,
        tokens=tokens,
        num_bytes=num_bytes(request.text, reading),
        warnings=warnings + check_tokens(tokens, reading),
    )


def _translation(request: ScoreRequest, reading: PromptReading, start: int) -> GenerationTarget:
    """A text, its end token included, given its source."""
    if request.given is None:
        raise InputError("an encoder-decoder scores a text given a source; pass given=")
    tokens = tuple(reading.source_ids(request.text)) if isinstance(request.text, str) else request.text
    return GenerationTarget(
        context=(start,),
        tokens=tokens,
        source=tuple(reading.source_ids(request.given)),
        num_bytes=num_bytes(request.text, reading),
        warnings=check_tokens(tokens, reading),
    )


def _continuation(given: str, text: str, reading: PromptReading) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The tokens of `text` after `given`: as the two are tokenized together, where the border allows."""
    encode = reading.tokenizer.encode
    before, whole = encode(given), encode(given + text)
    if whole[: len(before)] == before:
        return tuple(whole[len(before) :]), ()
    reason = "the border between given and text falls inside a token, so they were tokenized apart"
    return tuple(encode(text)), (f"{reason}; move spaces from the end of given to the start of text",)


def num_bytes(text: str | tuple[int, ...], reading: PromptReading) -> int:
    """UTF-8 length of a text, or of what ids spell."""
    return len((text if isinstance(text, str) else reading.tokenizer.decode(list(text))).encode())


def check_tokens(tokens: Sequence[int], reading: PromptReading) -> tuple[str, ...]:
    """Refuse ids that do not exist; a warning where some are the unknown token."""
    reading.check_ids(tokens)
    unknown = reading.tokenizer.num_unknown(list(tokens))
    return (
        (f"{unknown} tokens of the text are unknown to the tokenizer: their bytes are not scored",) if unknown else ()
    )
