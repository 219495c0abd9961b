"""The target of a `score` request: ids to score, ids read before them, and warnings; no torch.

Two texts are tokenized as lm-evaluation-harness does (`TemplateLM._encode_pair`, version 0.4.13), so that the scores
are equal: spaces at the end of the first text belong to the second, both are tokenized together, and the second's
tokens begin after the number of tokens that the first has alone.  Where the border falls inside a token, this cuts the
token's text apart, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Score, ScoreRequest
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.windows import plan_windows, stride_of

TopTokens = tuple[tuple[int, float], ...]
"""The likeliest tokens of one place and their log-probabilities, best first."""


@dataclass(frozen=True, kw_only=True)
class GenerationTarget:
    """The ids of a `score` request.

    Attributes:
        context: ids that are read but not scored.
        source: ids an encoder-decoder's encoder reads.
        tokens: ids to score.
        num_bytes: UTF-8 length of the scored text.
        top_logprobs: number of likeliest tokens to return for each scored token.
        overlap: the `overlap` of `ScoreRequest`.
        warnings: warnings for the caller.
    """

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    num_bytes: int
    top_logprobs: int = 0
    overlap: int | None = None
    warnings: tuple[str, ...] = ()
    source: tuple[int, ...] | None = None


def plan_score(request: ScoreRequest, encoding: PromptEncoding) -> GenerationTarget:
    """Split a request into its context and the tokens to score.

    Raises:
        ConfigError: `top_logprobs` is out of range.
        InputError: ids are out of range, or an encoder-decoder got no source.
    """
    if not 0 <= request.top_logprobs <= encoding.vocab_size:
        raise ConfigError(
            f"top_logprobs={request.top_logprobs} is outside 0..{encoding.vocab_size}, the vocabulary; 0 gives none"
        )
    if encoding.decoder_start is not None:
        return _translation(request, encoding, encoding.decoder_start)
    text, given = request.text, request.given
    warnings: tuple[str, ...] = ()
    moved = ""
    if isinstance(given, str) and isinstance(text, str) and given:
        moved = given[len(given.rstrip()) :]
        context, tokens, warnings = _continuation(given, text, encoding)
    else:
        context, tokens = _apart(given, text, encoding)
    encoding.check_ids(context)
    return GenerationTarget(
        context=context,
        tokens=tokens,
        num_bytes=len(moved.encode()) + num_bytes(text, encoding),
        top_logprobs=request.top_logprobs,
        overlap=request.overlap,
        warnings=warnings + check_tokens(tokens, encoding),
    )


def _translation(request: ScoreRequest, encoding: PromptEncoding, start: int) -> GenerationTarget:
    """A text, its end token included, given its source."""
    if request.given is None:
        raise InputError("an encoder-decoder scores a text given a source; pass given=")
    text, given = request.text, request.given
    tokens = tuple(encoding.source_ids(text)) if isinstance(text, str) else text
    source = tuple(encoding.source_ids(given)) if isinstance(given, str) else given
    encoding.check_ids(source)
    return GenerationTarget(
        context=(start,),
        tokens=tokens,
        source=source,
        num_bytes=num_bytes(text, encoding),
        top_logprobs=request.top_logprobs,
        warnings=check_tokens(tokens, encoding),
    )


def _apart(
    given: str | tuple[int, ...] | None, text: str | tuple[int, ...], encoding: PromptEncoding
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Context and tokens of texts that are not joined: ids on either side, or an empty context."""
    tokens = text if not isinstance(text, str) else tuple(encoding.tokenizer.encode(text))
    if given is None:
        return (() if text is tokens else encoding.frame.before), tokens
    if not isinstance(given, str):
        return given, tokens
    context = _in_front(tuple(encoding.tokenizer.encode(given)), encoding)
    if not given and isinstance(text, str) and tokens[: len(context)] == context:
        return context, tokens[len(context) :]  # the text itself has the first token
    return context, tokens


def _continuation(
    given: str, text: str, encoding: PromptEncoding
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """Context, the tokens of `text` after it, and a warning where the border falls inside a token."""
    encode = encoding.tokenizer.encode
    kept = given.rstrip()
    before, whole = tuple(encode(kept)), tuple(encode(given + text))
    context, tokens = _in_front(before, encoding), whole[len(before) :]
    if whole[: len(before)] == before:
        return context, tokens, ()
    reason = "the border between given and text falls inside a token"
    if not tokens:
        return context, tuple(encode(given[len(kept) :] + text)), (f"{reason}, so they were tokenized apart",)
    what = f"the tokens after the first {len(before)} of both together are scored"
    return context, tokens, (f"{reason}: {what}; let the text begin where a word does",)


def _in_front(ids: tuple[int, ...], encoding: PromptEncoding) -> tuple[int, ...]:
    """A context with the token that begins a text in front, unless it has it already (by a chat template)."""
    front = encoding.frame.before
    if front and ids[: len(front)] == front:
        return ids
    if front or ids:
        return (*front, *ids)
    starts = (encoding.tokenizer.bos_id, encoding.tokenizer.eos_id)
    return tuple(token for token in starts if token is not None)[:1]


def splitter(tokenizer: Tokenizer) -> Callable[[ScoreRequest], tuple[tuple[int, ...], tuple[int, ...]]]:
    """The function that splits a decoder's requests into ids to read and ids to score, by the tokenizer alone."""
    encoding = PromptEncoding(
        tokenizer=tokenizer,
        frame=special_frame(tokenizer),
        context=None,
        vocab_size=1 + tokenizer.last_id,
    )

    def split(request: ScoreRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        target = plan_score(request, encoding)
        return target.context, target.tokens

    return split


def refuse_adapters(requests: Sequence[ScoreRequest]) -> None:
    """Refuse requests that name an adapter, for a model without a choice of adapters.

    Raises:
        ConfigError: a request names an adapter; the message has the first such name.
    """
    named = next((request.adapter for request in requests if request.adapter is not None), None)
    if named is not None:
        raise ConfigError(f"adapter {named!r} is for the engine to choose, and this model has none; leave it out")


def num_bytes(text: str | tuple[int, ...], encoding: PromptEncoding) -> int:
    """UTF-8 length of a text, or of the text that ids stand for."""
    return len((text if isinstance(text, str) else encoding.tokenizer.decode(list(text))).encode())


def check_tokens(tokens: Sequence[int], encoding: PromptEncoding) -> tuple[str, ...]:
    """Refuse unknown ids; returns a warning if some are the unknown token."""
    encoding.check_ids(tokens)
    unknown = encoding.tokenizer.num_unknown(list(tokens))
    return (
        (f"{unknown} tokens of the text are unknown to the tokenizer: their bytes are not scored",) if unknown else ()
    )


@dataclass(kw_only=True)
class TokenJudgements:
    """Results for a target's tokens, in order.

    Attributes:
        logprobs: natural-log probabilities.
        greedy: whether each token is the likeliest in its place.
        tops: the likeliest tokens in each place; empty unless wanted.
    """

    logprobs: list[float] = field(default_factory=list)
    greedy: list[bool] = field(default_factory=list)
    tops: list[TopTokens] = field(default_factory=list)

    def extend(self, other: TokenJudgements) -> None:
        """Append the results of the next tokens."""
        self.logprobs += other.logprobs
        self.greedy += other.greedy
        self.tops += other.tops


def finished(target: GenerationTarget, found: TokenJudgements, window: int | None) -> Score:
    """The score of a target.

    Args:
        target: the target of the request.
        found: results of all its tokens, or of all but the first, if no token stands before it.
        window: most tokens that a decoder read at once; `None` if the text was not read in windows.
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
    """Number of context tokens left out, and a warning, for a text that is longer than the window."""
    length = len(target.context) + len(target.tokens) - 1  # the last token is not read
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
