"""`score` requests as `lavra.model.score` computes them: what is scored, what is context, what to warn of.

A decoder scores each token given those before it, an encoder masks each in turn, an encoder-decoder scores a
target (its end token included) given a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lavra.base.errors import ContextLengthError, InputError
from lavra.base.types import Score, ScoreRequest
from lavra.generate.front import Front
from lavra.generate.plan import PromptReading
from lavra.generate.target import GenerationTarget, plan_score
from lavra.model.config import ModelConfig
from lavra.model.score import score_masked, score_sequences, score_targets
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder


def score_requests(
    model: Decoder | Encoder | EncoderDecoder,
    config: ModelConfig,
    reading: PromptReading,
    requests: Sequence[ScoreRequest],
    *,
    front: Front,
    batch_size: int,
) -> list[Score]:
    """Score texts in the order of the requests.

    Args:
        model: any of the three.
        config: its own.
        reading: how it reads, in the room `front` leaves.
        requests: what to score.
        front: virtual tokens in front of every text.
        batch_size: rows computed together.

    Raises:
        ContextLengthError: a text does not fit behind virtual tokens, which windows of it would not have.
        InputError: an encoder-decoder got no source, an encoder has no mask token, or ids are out of range.
    """
    if isinstance(model, EncoderDecoder):
        return _score_encoder_decoder(model, reading, requests, front, batch_size)
    targets = [plan_score(request, reading) for request in requests]
    window = reading.context or config.max_positions
    if isinstance(model, Encoder):
        return [_score_encoder(model, reading, target, front, window, batch_size) for target in targets]
    whole = window + len(front.prompt)
    return _score_decoder(model, [_behind(target, front, window) for target in targets], whole, batch_size)


def _behind(target: GenerationTarget, front: Front, window: int) -> GenerationTarget:
    """A text behind virtual tokens, which are context like any other."""
    length = len(target.context) + len(target.tokens) - 1  # the last one is not read
    if front.prompt and length > window:
        raise ContextLengthError(
            f"the text has {length + 1} tokens and {window + 1} fit behind {len(front.prompt)} virtual ones; "
            "score it in parts"
        )
    return replace(target, context=(*front.prompt, *target.context))


def _score_decoder(model: Decoder, targets: Sequence[GenerationTarget], window: int, batch_size: int) -> list[Score]:
    stride = max(1, window // 2)
    found = score_sequences(
        model,
        [(*target.context, *target.tokens) for target in targets],
        window=window,
        stride=stride,
        batch_size=batch_size,
        first=[max(1, len(target.context)) for target in targets],
    )
    scores = []
    for target, nll in zip(targets, found, strict=True):
        logprobs: list[float | None] = _logprobs(nll)
        if not target.context and target.tokens:
            logprobs = [None, *logprobs]
        length = len(target.context) + len(target.tokens) - 1
        long = (
            (f"the text's {length} tokens were read in windows of {window}, {stride} new ones at a time",)
            if length > window
            else ()
        )
        scores.append(_score(target, logprobs, target.warnings + long))
    return scores


def _score_encoder(
    model: Encoder, reading: PromptReading, target: GenerationTarget, front: Front, window: int, batch_size: int
) -> Score:
    mask_id = reading.tokenizer.mask_id
    if mask_id is None:
        raise InputError(
            "an encoder scores by masking, and this tokenizer has no mask token; add one to special_tokens_map.json"
        )
    before, after = target.context or reading.frame.before, reading.frame.after
    nll = score_masked(
        model,
        target.tokens,
        mask_id=mask_id,
        before=(*front.prompt, *before),
        after=after,
        window=window + len(front.prompt),
        batch_size=batch_size,
    )
    length = len(before) + len(target.tokens) + len(after)
    long = (f"each token was scored from the {window} tokens around it, out of {length}",) if length > window else ()
    return _score(target, _logprobs(nll), target.warnings + long, kind="pseudo_likelihood")


def _score_encoder_decoder(
    model: EncoderDecoder, reading: PromptReading, requests: Sequence[ScoreRequest], front: Front, batch_size: int
) -> list[Score]:
    targets = [plan_score(request, reading) for request in requests]
    assert reading.decoder_start is not None
    sources = [(*front.source, *(target.source or ())) for target in targets]
    said = [target.tokens for target in targets]
    start = (*front.prompt, reading.decoder_start)
    found = score_targets(model, sources, said, start=start, batch_size=batch_size)
    return [_score(target, _logprobs(nll), target.warnings) for target, nll in zip(targets, found, strict=True)]


def _logprobs(nll: Tensor) -> list[float | None]:
    return [-value for value in nll.tolist()]


def _score(
    target: GenerationTarget, logprobs: list[float | None], warnings: tuple[str, ...], kind: str = "next_token"
) -> Score:
    return Score(
        tokens=target.tokens, logprobs=tuple(logprobs), num_bytes=target.num_bytes, kind=kind, warnings=warnings
    )
