"""The values that travel between packages: documents going in, completions coming out.

Plain frozen dataclasses with no behaviour to speak of and no torch, so that every floor can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text with its provenance.

    Attributes:
        id: stable across runs: it depends on where the text came from and what it says, never on order.
        text: the text itself, valid Unicode (no lone surrogates).
        source: where it came from, as a user would name it (`folder/file.jsonl#12`).
        kind: `text`, `markdown`, `html`, `code`, or `record` (a row of a table).
        meta: further facts (language, licence, encoding), strings both ways.
    """

    id: str
    text: str
    source: str = ""
    kind: str = "text"
    meta: Mapping[str, str] = field(default_factory=dict)


class FinishReason(Enum):
    """Why a completion ended."""

    STOP = "stop"  # an end-of-text token or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one request, and what was done to it that the user did not spell out.

    Attributes:
        prompt_tokens: tokens the model read.
        completion_tokens: tokens the model wrote.
        truncated_tokens: prompt tokens dropped because the caller asked for truncation.
        cached_tokens: prompt tokens whose computation was reused.
        response_cached: nothing was computed: the same request was answered before.
        virtual_tokens: tokens of an adapter's soft prompt or prefix, read besides the prompt's and not among them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated_tokens: int = 0
    cached_tokens: int = 0
    response_cached: bool = False
    virtual_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model wrote for one request.

    Attributes:
        text: the completion, without the prompt; never ends in half a UTF-8 character.
        tokens: the token ids behind it (a matched stop string's tokens included).
        logprobs: natural-log probability of each token under the model's own distribution.
        finish_reason: why it ended.
        usage: what was read and written.
        top_logprobs: for each token the likeliest ones and their log-probabilities, best first, where asked for.
        warnings: everything done that the caller might not expect, one sentence each.
        citations: sources of the text, when the answer is grounded.
        stop_string: of the request's stop strings the one that ended the text, if one did.
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


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every token, and freezing costs half a microsecond
class Delta:
    """One piece of a stream: the new text, and at the end the whole completion.

    Attributes:
        text: new characters, possibly empty while a character or a stop string is undecided.
        tokens: the token ids written since the last delta.
        logprobs: natural-log probability of each of them.
        top_logprobs: for each of them the likeliest tokens, where asked for.
        completion: set on the last delta only.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    completion: Completion | None = None


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
        top_logprobs: for each token the likeliest ones and their log-probabilities, best first, where asked for.
        context_tokens: tokens read that are not scored.
        truncated_tokens: tokens of the context that were left out so that the text fits.
        warnings: what the caller might not expect (windows used, unknown tokens).
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
    """A text with gaps, and how much is to be told of what belongs in them.

    Attributes:
        text: with the tokenizer's mask token once or more; or token ids used as they are.
        top_k: candidates of each gap; fewer where fewer targets are given.
        targets: words that are candidates, each one token of the vocabulary; all tokens are when there are none.
    """

    text: str | tuple[int, ...]
    top_k: int = 5
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy; otherwise logits are divided by it.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches this (Holtzman et al. 2020).
        min_p: keep tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024).
        repetition_penalty: divides (or multiplies, when negative) logits of tokens already seen, the
            prompt included (Keskar et al. 2019); 1 is off.
        presence_penalty: subtracted once from the logit of every token already generated.
        frequency_penalty: subtracted once per occurrence among the generated tokens.
        seed: makes sampling repeatable; `None` draws one and reports it.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None


class ConstraintKind(Enum):
    """How a constraint is written."""

    JSON_SCHEMA = "JSON schema"
    REGEX = "regular expression"
    GRAMMAR = "grammar"  # Lark's notation


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a completion must match as a whole.

    Attributes:
        kind: how it is written.
        text: the schema (as JSON), expression or grammar.
    """

    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One thing to complete.

    Attributes:
        prompt: text, or token ids used as they are.
        max_tokens: most tokens to write.
        sampling: how tokens are chosen.
        stop: the text ends before the first of these.
        n: completions wanted.
        num_beams: beam search with this many beams when over 1 (greedy scores, no sampling).
        length_penalty: beam scores are divided by length to this power.
        truncate_prompt: drop the oldest prompt tokens when the prompt does not fit, and say so;
            otherwise a prompt that does not fit is an error.
        given: the source text of an encoder-decoder when `prompt` is meant for its decoder.
        min_tokens: no token that ends the text is chosen before so many are written; stop strings still count.
        logit_bias: added to the logits of these token ids before anything else.
        top_logprobs: this many of the likeliest tokens are told for each one written.
        constraint: what the completion must match; it ends where that ends.
        logprobs: whether log-probabilities are wanted; an engine need not give them where they are not, which saves a
            pass over the vocabulary at every token.
        adapter: name of the engine's adapter that acts; `None` is the model as it was opened.
        stop_token_ids: tokens that end the text besides the model's own end of text.
        ignore_eos: the model's own end of text does not end it; what it writes behind that goes on.
        include_stop: the text ends behind the stop string or token that ended it.
        skip_special_tokens: special tokens leave nothing in the text.
    """

    prompt: str | tuple[int, ...]
    max_tokens: int = 128
    sampling: SamplingConfig = SamplingConfig()
    stop: tuple[str, ...] = ()
    n: int = 1
    num_beams: int = 1
    length_penalty: float = 1.0
    truncate_prompt: bool = False
    given: str | None = None
    min_tokens: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0
    constraint: Constraint | None = None
    logprobs: bool = True
    adapter: str | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    include_stop: bool = False
    skip_special_tokens: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One text to score.

    Two texts are tokenized as lm-evaluation-harness does (`TemplateLM._encode_pair`): spaces at the end of `given`
    belong to the text, both are tokenized together, and the text's tokens are those after as many as `given` has alone.

    Attributes:
        text: the text, or token ids used as they are.
        given: the source text of an encoder-decoder, or a prefix whose own tokens are not scored; token ids are used
            as they are, without special tokens in front.  An empty one is the beginning of a text.
        adapter: name of the engine's adapter that acts; `None` is the model as it was opened.
        top_logprobs: this many of the likeliest tokens are told for each one scored.
        overlap: a text longer than the context is read in windows, each of which reads at least so many tokens of the
            one before again; `None` is half the context, and 0 reads each token once, as lm-evaluation-harness does.
    """

    text: str | tuple[int, ...]
    given: str | tuple[int, ...] | None = None
    adapter: str | None = None
    top_logprobs: int = 0
    overlap: int | None = None
