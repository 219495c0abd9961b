"""`score` requests, computed by `lavra.model.score`: the scored tokens, the context, the warnings.

A decoder scores each token given those before it, an encoder masks each in turn, an encoder-decoder scores a
target (its end token included) given a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lavra.base.errors import ContextLengthError, LavraError
from lavra.base.types import Score, ScoreRequest
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.generate.pseudo_likelihood import copies_of, pseudo_likelihood
from lavra.generate.target import GenerationTarget, TokenJudgements, finished, plan_score
from lavra.generate.virtual_tokens import VirtualTokens
from lavra.model.config import ModelConfig
from lavra.model.score import judge_sequences, score_masked, score_targets
from lavra.model.token_scores import TokenScores
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.tokens.windows import stride_of


def score_requests(
    model: Decoder | Encoder | EncoderDecoder,
    config: ModelConfig,
    encoding: PromptEncoding,
    requests: Sequence[ScoreRequest],
    *,
    front: VirtualTokens,
    batch_size: int,
) -> list[Score]:
    """Score texts in the order of the requests.

    Args:
        model: a decoder, an encoder or an encoder-decoder.
        config: configuration of the model.
        encoding: the model's encoding, in the room that `front` leaves.
        requests: the texts to score.
        front: virtual tokens in front of every text.
        batch_size: rows computed together.

    Raises:
        ContextLengthError: a text does not fit behind virtual tokens (its windows would stand without them).
        InputError: an encoder-decoder got no source, an encoder has no mask token, or ids are out of range.
    """
    if isinstance(model, EncoderDecoder):
        return _score_encoder_decoder(model, encoding, requests, front, batch_size)
    targets = [plan_score(request, encoding) for request in requests]
    window = encoding.context or config.max_positions
    if isinstance(model, Encoder):
        return [_score_encoder(model, encoding, target, front, window, batch_size) for target in targets]
    whole = window + len(front.prompt)
    return _score_decoder(model, [_behind(target, front, window) for target in targets], whole, batch_size)


def _behind(target: GenerationTarget, front: VirtualTokens, window: int) -> GenerationTarget:
    """A text behind virtual tokens, which are context like any other."""
    length = len(target.context) + len(target.tokens) - 1  # the last token is not read
    if front.prompt and length > window:
        raise ContextLengthError(
            f"the text has {length + 1} tokens and {window + 1} fit behind {len(front.prompt)} virtual ones; "
            "score it in parts"
        )
    return replace(target, context=(*front.prompt, *target.context))


def _score_decoder(model: Decoder, targets: Sequence[GenerationTarget], window: int, batch_size: int) -> list[Score]:
    top = max((target.top_logprobs for target in targets), default=0)
    found = judge_sequences(
        model,
        [(*target.context, *target.tokens) for target in targets],
        window=window,
        strides=[stride_of(window, target.overlap) for target in targets],
        batch_size=batch_size,
        first=[max(1, len(target.context)) for target in targets],
        top=top,
        share=True,
    )
    return [finished(target, _judgement(scores, target), window) for target, scores in zip(targets, found, strict=True)]


def _score_encoder(
    model: Encoder,
    encoding: PromptEncoding,
    target: GenerationTarget,
    front: VirtualTokens,
    window: int,
    batch_size: int,
) -> Score:
    copies = copies_of(target, encoding, window, front)
    found = score_masked(model, target.tokens, copies, batch_size=batch_size, top=target.top_logprobs)
    return pseudo_likelihood(target, _judgement(found, target), encoding, window)


def _score_encoder_decoder(
    model: EncoderDecoder,
    encoding: PromptEncoding,
    requests: Sequence[ScoreRequest],
    front: VirtualTokens,
    batch_size: int,
) -> list[Score]:
    targets = [plan_score(request, encoding) for request in requests]
    assert encoding.decoder_start is not None
    sources = [(*front.source, *(target.source or ())) for target in targets]
    tokens = [target.tokens for target in targets]
    start = (*front.prompt, encoding.decoder_start)
    top = max((target.top_logprobs for target in targets), default=0)
    found = score_targets(model, sources, tokens, start=start, batch_size=batch_size, top=top)
    return [finished(target, _judgement(scores, target), None) for target, scores in zip(targets, found, strict=True)]


def _judgement(scores: TokenScores, target: GenerationTarget) -> TokenJudgements:
    if bool(scores.nll.isnan().any()):
        raise LavraError(
            "the model's logits are NaN or infinite: its weights are damaged or overflow in this dtype; "
            "try dtype='float32'"
        )
    return TokenJudgements(
        logprobs=[-value for value in scores.nll.tolist()],
        greedy=scores.greedy.tolist(),
        tops=[top[: target.top_logprobs] for top in scores.tops()],
    )
