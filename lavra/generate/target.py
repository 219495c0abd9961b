"""What a `score` request asks: which ids are scored, which are read before them, and what to warn of; no torch.

Two texts are tokenized as lm-evaluation-harness does (`TemplateLM._encode_pair`, version 0.4.13), so that scores are
its scores: spaces at the end of the first belong to the second, both are tokenized together, and the second's tokens
are those after as many as the first has alone.  Where the border falls inside a token that cuts what belongs together,
and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Score, ScoreRequest
from lavra.generate.plan import PromptReading, special_frame
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.windows import plan_windows, stride_of

TopTokens = tuple[tuple[int, float], ...]
"""The likeliest tokens of one place and their log-probabilities, best first."""


@dataclass(frozen=True, kw_only=True)
class GenerationTarget:
    """What one request asks to score.

    Attributes:
        context: ids read but not scored.
        source: ids an encoder-decoder's encoder reads.
        tokens: ids scored.
        num_bytes: UTF-8 length of the scored text.
        top_logprobs: likeliest tokens to tell of each one scored.
        overlap: as `ScoreRequest`'s.
        warnings: what the caller might not expect.
    """

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    num_bytes: int
    top_logprobs: int = 0
    overlap: int | None = None
    warnings: tuple[str, ...] = ()
    source: tuple[int, ...] | None = None


def plan_score(request: ScoreRequest, reading: PromptReading) -> GenerationTarget:
    """Split a request into what is context and what is scored.

    Raises:
        ConfigError: `top_logprobs` is out of range.
        InputError: ids are out of range, or an encoder-decoder got no source.
    """
    if not 0 <= request.top_logprobs <= reading.vocab_size:
        raise ConfigError(
            f"top_logprobs={request.top_logprobs} is outside 0..{reading.vocab_size}, the vocabulary; 0 tells none"
        )
    if reading.decoder_start is not None:
        return _translation(request, reading, reading.decoder_start)
    text, given = request.text, request.given
    warnings: tuple[str, ...] = ()
    moved = ""
    if isinstance(given, str) and isinstance(text, str) and given:
        moved = given[len(given.rstrip()) :]
        context, tokens, warnings = _continuation(given, text, reading)
    else:
        context, tokens = _apart(given, text, reading)
    reading.check_ids(context)
    return GenerationTarget(
        context=context,
        tokens=tokens,
        num_bytes=len(moved.encode()) + num_bytes(text, reading),
        top_logprobs=request.top_logprobs,
        overlap=request.overlap,
        warnings=warnings + check_tokens(tokens, reading),
    )


def _translation(request: ScoreRequest, reading: PromptReading, start: int) -> GenerationTarget:
    """A text, its end token included, given its source."""
    if request.given is None:
        raise InputError("an encoder-decoder scores a text given a source; pass given=")
    text, given = request.text, request.given
    tokens = tuple(reading.source_ids(text)) if isinstance(text, str) else text
    source = tuple(reading.source_ids(given)) if isinstance(given, str) else given
    reading.check_ids(source)
    return GenerationTarget(
        context=(start,),
        tokens=tokens,
        source=source,
        num_bytes=num_bytes(text, reading),
        top_logprobs=request.top_logprobs,
        warnings=check_tokens(tokens, reading),
    )


def _apart(
    given: str | tuple[int, ...] | None, text: str | tuple[int, ...], reading: PromptReading
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Context and tokens of what is not joined: ids on either side, or nothing before."""
    tokens = text if not isinstance(text, str) else tuple(reading.tokenizer.encode(text))
    if given is None:
        return (() if text is tokens else reading.frame.before), tokens
    if not isinstance(given, str):
        return given, tokens
    context = _in_front(tuple(reading.tokenizer.encode(given)), reading)
    if not given and isinstance(text, str) and tokens[: len(context)] == context:
        return context, tokens[len(context) :]  # the text says itself that it begins
    return context, tokens


def _continuation(
    given: str, text: str, reading: PromptReading
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """Context, the tokens of `text` after it, and a warning where the border falls inside a token."""
    encode = reading.tokenizer.encode
    kept = given.rstrip()
    before, whole = tuple(encode(kept)), tuple(encode(given + text))
    context, tokens = _in_front(before, reading), whole[len(before) :]
    if whole[: len(before)] == before:
        return context, tokens, ()
    reason = "the border between given and text falls inside a token"
    if not tokens:
        return context, tuple(encode(given[len(kept) :] + text)), (f"{reason}, so they were tokenized apart",)
    what = f"what is scored are the tokens after the first {len(before)} of the two together"
    return context, tokens, (f"{reason}: {what}; let the text begin where a word does",)


def _in_front(ids: tuple[int, ...], reading: PromptReading) -> tuple[int, ...]:
    """A context behind the token that begins a text, unless it is there (a chat template writes it)."""
    front = reading.frame.before
    if front and ids[: len(front)] == front:
        return ids
    if front or ids:
        return (*front, *ids)
    starts = (reading.tokenizer.bos_id, reading.tokenizer.eos_id)
    return tuple(token for token in starts if token is not None)[:1]


def splitter(tokenizer: Tokenizer) -> Callable[[ScoreRequest], tuple[tuple[int, ...], tuple[int, ...]]]:
    """How requests of a decoder fall into ids that are read and ids that are scored, by its tokenizer alone."""
    reading = PromptReading(
        tokenizer=tokenizer,
        frame=special_frame(tokenizer),
        context=None,
        vocab_size=1 + max(tokenizer.backend.get_vocab(with_added_tokens=True).values()),
    )

    def split(request: ScoreRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        target = plan_score(request, reading)
        return target.context, target.tokens

    return split


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


@dataclass(kw_only=True)
class TokenJudgements:
    """What was found of a target's tokens, in order.

    Attributes:
        logprobs: natural-log probabilities.
        greedy: whether each is the likeliest in its place.
        tops: the likeliest in each place; empty where none were asked for.
    """

    logprobs: list[float] = field(default_factory=list)
    greedy: list[bool] = field(default_factory=list)
    tops: list[TopTokens] = field(default_factory=list)

    def extend(self, other: TokenJudgements) -> None:
        """Those of the next tokens."""
        self.logprobs += other.logprobs
        self.greedy += other.greedy
        self.tops += other.tops


def finished(target: GenerationTarget, found: TokenJudgements, window: int | None) -> Score:
    """The score of a target.

    Args:
        target: what was asked.
        found: of all its tokens, or all but the first, which has nothing before it.
        window: most tokens a decoder read at once; `None` where the text was not read in windows.
    """
    unknown = len(target.tokens) - len(found.logprobs)
    truncated, warnings = (0, ()) if window is None else _long(target, window)
    return Score(
        tokens=target.tokens,
        logprobs=(*[None] * unknown, *found.logprobs),
        num_bytes=target.num_bytes,
        greedy=(*[None] * unknown, *found.greedy),
        top_logprobs=(*[()] * unknown, *found.tops) if target.top_logprobs else (),
        context_tokens=len(target.context if target.source is None else target.source),
        truncated_tokens=truncated,
        warnings=target.warnings + warnings,
    )


def _long(target: GenerationTarget, window: int) -> tuple[int, tuple[str, ...]]:
    """Tokens of the context left out, and a warning, where a text is longer than what is read at once."""
    length = len(target.context) + len(target.tokens) - 1  # the last one is not read
    if length <= window:
        return 0, ()
    stride = stride_of(window, target.overlap)
    planned = plan_windows(length + 1, window=window, stride=stride, first=len(target.context))
    dropped = min(planned[0].start, len(target.context))
    warnings: tuple[str, ...] = ()
    if dropped:
        warnings += (f"the {dropped} oldest tokens of the context were left out so that the text fits {window} tokens",)
    if len(planned) > 1:
        warnings += (f"the text's {length} tokens were read in windows of {window}, {stride} new ones at a time",)
    return dropped, warnings
