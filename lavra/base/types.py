"""The values that travel between packages: input documents, requests and completions.

Plain frozen dataclasses with almost no behaviour and no torch, so that every floor can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Final, TypedDict

from lavra.base.bounds import ParameterBounds

_SHOWN: Final = 60  # characters of a text in a `repr`


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text with its provenance.

    Attributes:
        id: stable across runs: it depends on the source and the text, never on order.
        text: the text itself, valid Unicode (no lone surrogates).
        source: origin of the text, in the user's words (`folder/file.jsonl#12`).
        kind: `text`, `markdown`, `html`, `code`, or `record` (a row of a table).
        meta: further facts (language, licence, encoding), strings both ways.
    """

    id: str
    text: str
    source: str = ""
    kind: str = "text"
    meta: Mapping[str, str] = field(default_factory=dict)


class FinishReason(Enum):
    """The reason for the end of a completion.

    Example:
        >>> completion = lavra.load("tiny").generate("Once", max_tokens=4)
        >>> completion.finish_reason is lavra.FinishReason.LENGTH
        True
    """

    STOP = "stop"  # an end-of-text token or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one request, and choices that the user did not spell out.

    Attributes:
        prompt_tokens: tokens the model read.
        completion_tokens: tokens the model wrote.
        truncated_tokens: prompt tokens dropped because the caller asked for truncation.
        cached_tokens: prompt tokens whose computation was reused.
        response_cached: the answer was reused from an earlier equal request; nothing was computed.
        virtual_tokens: tokens of an adapter's soft prompt or prefix, read besides the prompt's and not among them.

    Example:
        >>> usage = lavra.load("tiny").generate("Once upon", max_tokens=4).usage
        >>> usage.completion_tokens
        4
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated_tokens: int = 0
    cached_tokens: int = 0
    response_cached: bool = False
    virtual_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's text for one request.

    Attributes:
        text: the completion, without the prompt; never ends in half a UTF-8 character.
        tokens: the token ids behind it (a matched stop string's tokens included).
        logprobs: natural-log probability of each token under the model's own distribution.
        finish_reason: reason for the end.
        usage: counts of the tokens read and written.
        top_logprobs: for each token the likeliest tokens and their log-probabilities, best first, where asked for.
        warnings: every unexpected step, one sentence each.
        citations: sources of the text, when the answer is grounded.
        stop_string: the stop string of the request that ended the text, if any.

    Example:
        >>> completion = lavra.load("tiny").generate("Once upon", max_tokens=4)
        >>> str(completion) == completion.text
        True
        >>> completion.finish_reason, completion.usage.completion_tokens
        (<FinishReason.LENGTH: 'length'>, 4)
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: FinishReason = FinishReason.LENGTH
    usage: Usage = field(default_factory=Usage)
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    warnings: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    stop_string: str | None = None

    def __str__(self) -> str:
        """The text."""
        return self.text

    def __repr__(self) -> str:
        """The beginning of the text, the number of tokens, and the reason for the end."""
        text = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}…"
        return f"Completion({text!r}, {len(self.tokens)} tokens, {self.finish_reason.value})"


@dataclass(slots=True, kw_only=True)  # not frozen: each token makes one, and freezing costs half a microsecond
class Delta:
    """A piece of a stream: the new text, and at the end the whole completion.

    Attributes:
        text: new characters, possibly empty while a character or a stop string is undecided.
        tokens: the token ids written since the last delta.
        logprobs: natural-log probability of each of them.
        top_logprobs: for each of them the likeliest tokens, where asked for.
        completion: set on the last delta only.

    Example:
        >>> deltas = list(lavra.load("tiny").stream("Once upon", max_tokens=4))
        >>> "".join(delta.text for delta in deltas) == deltas[-1].completion.text
        True
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    completion: Completion | None = None

    def __str__(self) -> str:
        """The new text."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Per-token log-probabilities of a given text.

    Attributes:
        tokens: the ids scored, in order.
        logprobs: natural-log probability of each; for decoders the first token has no context but the
            beginning-of-text token, and is left out (`None`) where the model has none.
        num_bytes: UTF-8 length of the scored text, spaces included that moved over from the end of `given`.
        kind: `next_token`, or `pseudo_likelihood` for encoders (each token masked in turn).
        greedy: for each token whether it is the likeliest in its place, so that greedy decoding would have written it;
            `None` where that is not known.
        top_logprobs: for each token the likeliest tokens and their log-probabilities, best first, where asked for.
        context_tokens: tokens read that are not scored.
        truncated_tokens: tokens of the context that were left out so that the text fits.
        warnings: unexpected circumstances (windows used, unknown tokens).

    Example:
        >>> score = lavra.load("tiny").score("the film was a day")
        >>> len(score.logprobs) == len(score.tokens), score.num_bytes
        (True, 18)
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float | None, ...]
    num_bytes: int
    kind: str = "next_token"
    greedy: tuple[bool | None, ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    context_tokens: int = 0
    truncated_tokens: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRequest:
    """A text with gaps to fill.

    Attributes:
        text: text with the tokenizer's mask token once or more; or token ids used as they are.
        top_k: candidates of each gap; fewer where fewer targets are given.
        targets: candidate words, each one token of the vocabulary; without targets all tokens are candidates.
    """

    text: str | tuple[int, ...]
    top_k: int = 5
    targets: tuple[str, ...] = ()


_INT32: Final = 2**31 - 1

LOGIT_BIAS: Final = ParameterBounds(least=-1000, most=1000, remedy="-1000 keeps a token from being chosen")
"""The bounds of each value of `GenerateRequest.logit_bias`."""


Temperature = Annotated[float, ParameterBounds(least=0, most=100, remedy="0 is greedy, 1 the model's own distribution")]
TopP = Annotated[
    float, ParameterBounds(least=0, most=1, above_least=True, remedy="1 keeps all tokens", drawn_only=True)
]
Seed = Annotated[
    int, ParameterBounds(least=-(2**63), most=2**63 - 1, remedy="leave it out to have one drawn", drawn_only=True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """The settings that choose the next token: the only definition of each sampling parameter.

    Request models of the server, flags, Python's options, the checks, traces, the remote client and the table in
    `docs/generate.md` are derived from these fields, or a test holds them to these.

    Attributes:
        temperature: 0 is greedy; otherwise logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches this (Holtzman et al. 2020).
        min_p: keep tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024).
        repetition_penalty: divides (or multiplies, when negative) logits of tokens already seen, the
            prompt included (Keskar et al. 2019); 1 is off.
        presence_penalty: subtracted once from the logit of every token already generated.
        frequency_penalty: subtracted once per occurrence among the generated tokens.
        seed: makes sampling repeatable; without a seed one is drawn and reported.
    """

    temperature: Temperature = 0.0
    top_k: Annotated[int, ParameterBounds(least=0, most=_INT32, remedy="0 keeps all tokens", drawn_only=True)] = 0
    top_p: TopP = 1.0
    min_p: Annotated[float, ParameterBounds(least=0, most=1, remedy="0 keeps all tokens", drawn_only=True)] = 0.0
    repetition_penalty: Annotated[
        float, ParameterBounds(least=0, most=100, above_least=True, remedy="1 is off, 1.1 is mild")
    ] = 1.0
    presence_penalty: Annotated[float, ParameterBounds(least=-100, most=100, remedy="0 is off")] = 0.0
    frequency_penalty: Annotated[float, ParameterBounds(least=-100, most=100, remedy="0 is off")] = 0.0
    seed: Seed | None = None


class SamplingOptions(TypedDict, total=False):
    """The fields of `SamplingConfig` as keyword arguments; documented there."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None


class ConstraintKind(Enum):
    """The notation of a constraint."""

    JSON_SCHEMA = "JSON schema"
    REGEX = "regular expression"
    GRAMMAR = "grammar"  # Lark's notation


@dataclass(frozen=True, slots=True)
class Constraint:
    """A pattern that the whole completion must match.

    Attributes:
        kind: notation of the text.
        text: the schema (as JSON), expression or grammar.
    """

    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """A request for completions of one prompt.

    Attributes:
        prompt: text, or token ids used as they are.
        max_tokens: most tokens to write.
        sampling: settings that choose the tokens.
        stop: the text ends before the first of these.
        n: completions wanted.
        num_beams: beam search with this many beams when over 1 (greedy scores, no sampling).
        length_penalty: beam scores are divided by length to this power.
        truncate_prompt: drop the oldest prompt tokens when the prompt does not fit, and say so;
            otherwise a prompt that does not fit is an error.
        given: the source text of an encoder-decoder when `prompt` is meant for its decoder.
        min_tokens: no token that ends the text is chosen before this many are written; stop strings still count.
        logit_bias: added to the logits of these token ids before anything else.
        top_logprobs: number of likeliest tokens reported for each written token.
        constraint: pattern that the completion must match; the completion ends where the pattern ends.
        logprobs: whether log-probabilities are wanted; an engine may leave them out where they are not, which saves a
            pass over the vocabulary at every token.
        adapter: name of the engine's adapter that acts; `None` is the model as it was opened.
        stop_token_ids: tokens that end the text besides the model's own end of text.
        ignore_eos: the model's own end of text does not end the completion; the text behind it is kept.
        include_stop: the text includes the stop string or token that ended it.
        skip_special_tokens: special tokens leave no characters in the text.
    """

    prompt: str | tuple[int, ...]
    max_tokens: Annotated[int, ParameterBounds(least=1, most=_INT32, remedy="give 1 or more")] = 128
    sampling: SamplingConfig = SamplingConfig()
    stop: tuple[str, ...] = ()
    n: Annotated[int, ParameterBounds(least=1, most=_INT32, remedy="give 1 or more")] = 1
    num_beams: Annotated[int, ParameterBounds(least=1, most=_INT32, remedy="1 samples, more search")] = 1
    length_penalty: Annotated[float, ParameterBounds(least=-100, most=100, remedy="1 is the mean, 0 the sum")] = 1.0
    truncate_prompt: bool = False
    given: str | None = None
    min_tokens: Annotated[int, ParameterBounds(least=0, most=_INT32, remedy="0 lets the text end at once")] = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: Annotated[int, ParameterBounds(least=0, most=_INT32, remedy="0 gives none")] = 0
    constraint: Constraint | None = None
    logprobs: bool = True
    adapter: str | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    include_stop: bool = False
    skip_special_tokens: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """A text to score.

    Two texts are tokenized as lm-evaluation-harness does (`TemplateLM._encode_pair`): spaces at the end of `given`
    belong to the text, both are tokenized together, and the text's tokens are those after as many as `given` has alone.

    Attributes:
        text: the text, or token ids used as they are.
        given: the source text of an encoder-decoder, or a prefix whose own tokens are not scored; token ids are used
            as they are, without special tokens in front.  An empty one is the beginning of a text.
        adapter: name of the engine's adapter that acts; `None` is the model as it was opened.
        top_logprobs: number of likeliest tokens reported for each scored token.
        overlap: a text longer than the context is read in windows; each window reads at least this many tokens of the
            window before again; `None` is half the context, and 0 reads each token once, as lm-evaluation-harness does.
    """

    text: str | tuple[int, ...]
    given: str | tuple[int, ...] | None = None
    adapter: str | None = None
    top_logprobs: int = 0
    overlap: int | None = None
