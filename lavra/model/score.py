"""The likelihood of a text under a model: negative log-likelihood per token, and bits per byte.

Decoders read long texts in overlapping windows in which every token is scored exactly once, with at least
`window - stride` tokens before it.  Encoders have no chain rule, so each token is masked in turn and scored
from both sides: pseudo-likelihood (Salazar et al. 2020, "Masked Language Model Scoring", eq. 1).
Encoder-decoders score a target given a source.

All results are in nats.  Deliberately absent: tasks and metrics built on scores (they stand on the
`LanguageModel` port), and the training loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from lavra.model.masked_copies import MaskedCopies
from lavra.model.shared_prefix import PrefixScorer, ScoredText
from lavra.model.token_scores import TokenScores, join_scores, score_hidden
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.tokens.windows import ScoreWindow, plan_windows

T = TypeVar("T")


def score_tokens(
    model: Decoder, ids: Sequence[int] | Tensor, *, window: int, stride: int, batch_size: int = 8, first: int = 1
) -> Tensor:
    """Negative log-likelihood of each token of one text given those before it.

    Args:
        model: a decoder.
        ids: (N,) token ids, starting with the beginning-of-text token where the model has one.
        window: most tokens read at once, at most the model's context.
        stride: tokens scored by each window after the first.
        batch_size: windows run together.
        first: index of the first token to score; those before are context only.

    Returns:
        (N - first,) float32 on the CPU, nats.

    Raises:
        ConfigError: the stride is under 1 or over the window.
    """
    return score_sequences(model, [ids], window=window, stride=stride, batch_size=batch_size, first=[first])[0]


def score_sequences(
    model: Decoder,
    sequences: Sequence[Sequence[int] | Tensor],
    *,
    window: int,
    stride: int,
    batch_size: int = 8,
    first: Sequence[int] | None = None,
) -> list[Tensor]:
    """`score_tokens` for several texts, whose windows share batches.

    Returns:
        One (N - first,) float32 tensor a text, on the CPU, nats.
    """
    found = judge_sequences(
        model, sequences, window=window, strides=[stride] * len(sequences), batch_size=batch_size, first=first
    )
    return [scores.nll for scores in found]


def judge_sequences(
    model: Decoder,
    sequences: Sequence[Sequence[int] | Tensor],
    *,
    window: int,
    strides: Sequence[int],
    batch_size: int = 8,
    first: Sequence[int] | None = None,
    top: int = 0,
    share: bool = False,
) -> list[TokenScores]:
    """All results for each text's tokens from `first` on.

    Args:
        model: a decoder.
        sequences: (N,) token ids each.
        window: most tokens read at once, at most the model's context.
        strides: for each text, tokens scored by each window after the first.
        batch_size: windows run together.
        first: for each text, the first token to score.
        top: number of likeliest tokens to return for each.
        share: whether common beginnings of windows are read once.

    Raises:
        ConfigError: a stride is under 1 or over the window.
    """
    texts = [torch.as_tensor(ids, dtype=torch.int64).cpu() for ids in sequences]  # each (N,)
    firsts = list(first) if first is not None else [1] * len(texts)
    planned = [
        (row, part)
        for row, ids in enumerate(texts)
        for part in plan_windows(len(ids), window=window, stride=strides[row], first=firsts[row])
    ]
    shared = [share and _is_shareable(model, part) for _, part in planned]
    parts: list[dict[int, TokenScores]] = [{} for _ in texts]
    with _reading(model):
        together = [one for one, is_shared in zip(planned, shared, strict=True) if is_shared]
        stretches = [
            ScoredText(ids=texts[row][part.start : part.end].numpy(), first=part.first - part.start)
            for row, part in together
        ]
        scorer = PrefixScorer(model, batch_size=batch_size, top=top)
        for (row, part), scores in zip(together, scorer.score(stretches), strict=True):
            parts[row][part.first] = scores
        apart = [one for one, is_shared in zip(planned, shared, strict=True) if not is_shared]
        apart.sort(key=lambda item: item[1].end - item[1].start)  # like lengths together: little padding
        for batch in _chunks(apart, batch_size):
            for (row, part), scores in zip(batch, _score_windows(model, texts, batch, top), strict=True):
                parts[row][part.first] = scores
    return [join_scores([scores for _, scores in sorted(found.items())], top) for found in parts]


def _is_shareable(model: Decoder, part: ScoreWindow) -> bool:
    """Whether a window's keys equal those of any other window with the same beginning."""
    rotary = model.decoder.rotary
    if rotary is None or not rotary.dynamic:
        return True
    return part.end - 1 - part.start <= model.config.max_positions  # beyond, frequencies depend on its length


def _score_windows(
    model: Decoder, texts: Sequence[Tensor], batch: Sequence[tuple[int, ScoreWindow]], top: int
) -> list[TokenScores]:
    """The scores of each window's scored tokens; right padding is invisible to a causal model."""
    inputs = _pad([texts[row][part.start : part.end - 1] for row, part in batch])  # (B,T)
    scored = torch.zeros_like(inputs, dtype=torch.bool)  # (B,T) positions whose next token is scored
    for index, (_, part) in enumerate(batch):
        scored[index, part.first - 1 - part.start : part.end - 1 - part.start] = True
    labels = torch.cat([texts[row][part.first : part.end] for row, part in batch])  # (M,)
    device = _device(model)
    hidden = model.hidden(inputs.to(device), positions=_positions(batch).to(device))[scored.to(device)]  # (M,D)
    return score_hidden(model, hidden, labels, top).split([part.end - part.first for _, part in batch])


def _positions(batch: Sequence[tuple[int, ScoreWindow]]) -> Tensor:
    """(B,T) counted from 0, padding at its row's last place: dynamic RoPE looks at the greatest position of a row."""
    last = torch.tensor([part.end - part.start - 2 for _, part in batch])
    return torch.minimum(torch.arange(int(last.max()) + 1)[None, :], last[:, None])


def score_targets(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    *,
    start: Sequence[int],
    batch_size: int = 8,
    top: int = 0,
) -> list[TokenScores]:
    """Log-likelihoods of the target tokens, each given its source and the target tokens before it.

    Args:
        model: an encoder-decoder.
        sources: ids that the encoder reads, one list for each pair.
        targets: ids that the decoder is scored on.
        start: ids that the decoder reads before a target, at least one.
        batch_size: pairs run together.
        top: number of likeliest tokens to return for each.

    Returns:
        U tokens for each pair.
    """
    order = sorted(range(len(targets)), key=lambda row: (len(sources[row]), len(targets[row])))
    results = [join_scores((), top)] * len(targets)
    with _reading(model):
        for rows in _chunks([row for row in order if targets[row]], batch_size):
            pairs = _score_pairs(model, [sources[r] for r in rows], [targets[r] for r in rows], start, top)
            for row, scores in zip(rows, pairs, strict=True):
                results[row] = scores
    return results


def _score_pairs(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    start: Sequence[int],
    top: int,
) -> list[TokenScores]:
    device = _device(model)
    read = _pad([torch.tensor(list(source), dtype=torch.int64) for source in sources]).to(device)  # (B,S)
    mask = _lengths_mask([len(source) for source in sources]).to(device)  # (B,S)
    decoder_inputs = [torch.tensor([*start, *target[:-1]], dtype=torch.int64) for target in targets]
    scored = _lengths_mask([len(ids) for ids in decoder_inputs]).to(device)  # (B,U)
    scored[:, : len(start) - 1] = False
    encoded = model.encode(read, attention_mask=mask)  # (B,S,D)
    hidden = model.decode(_pad(decoder_inputs).to(device), encoded, attention_mask=mask)[scored]  # (M,D)
    labels = torch.cat([torch.tensor(list(target), dtype=torch.int64) for target in targets])
    return score_hidden(model, hidden, labels, top).split([len(target) for target in targets])


def score_masked(
    model: Encoder, ids: Sequence[int], copies: MaskedCopies, *, batch_size: int = 16, top: int = 0
) -> TokenScores:
    """Pseudo-likelihood of a text: each token masked in turn (Salazar et al. 2020, eq. 1).

    Args:
        model: an encoder with a masked-token head.
        ids: (N,) tokens of the text, without special tokens.
        copies: settings of the masked copies.
        batch_size: masked copies run together.
        top: number of likeliest tokens to return for each place.

    Returns:
        N tokens; the sum of their `nll` is the negative pseudo-log-likelihood.
    """
    with _reading(model):
        parts = [_score_places(model, ids, places, copies, top) for places in _chunks(range(len(ids)), batch_size)]
    return join_scores(parts, top)


def _score_places(
    model: Encoder, ids: Sequence[int], places: Sequence[int], copies: MaskedCopies, top: int
) -> TokenScores:
    masked = [copies.copy(ids, place) for place in places]
    rows, holes = torch.tensor([row for row, _ in masked]), [hole for _, hole in masked]
    device = _device(model)
    hidden = model.hidden(rows.to(device))  # (B,T,D); all rows are equally long
    states = hidden[torch.arange(len(rows), device=device), torch.tensor(holes, device=device)]  # (B,D)
    return score_hidden(model, states, torch.tensor([ids[place] for place in places], dtype=torch.int64), top)


@contextmanager
def _reading(model: nn.Module) -> Iterator[None]:
    """Turn off gradients and dropout, and restore the model's mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _pad(rows: Sequence[Tensor]) -> Tensor:
    """(B,T) from rows of unequal length, zeros on the right."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _lengths_mask(lengths: Sequence[int]) -> Tensor:
    """(B, max length) True where a row has a token."""
    return torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
