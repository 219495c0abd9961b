"""How likely a model finds a text: negative log-likelihood per token, and bits per byte.

Decoders read long texts in overlapping windows in which every token is scored exactly once, with at least
`window - stride` tokens before it.  Encoders have no chain rule, so each token is masked in turn and scored
from both sides: pseudo-likelihood (Salazar et al. 2020, "Masked Language Model Scoring", eq. 1).
Encoder-decoders score a target given a source.  Logits are made in float32, a bounded number of rows at a
time, so that the full (N,V) never exists.

All results are in nats.  Deliberately absent: tasks and metrics built on scores (they stand on the
`LanguageModel` port), and the training loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from lavra.base.errors import ConfigError
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder

T = TypeVar("T")
LOGITS_BYTES = 64 * 2**20  # float32 logits held at once


class _Head(Protocol):
    def logits(self, hidden: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreWindow:
    """A stretch of a token sequence read at once; tokens `first` up to `end` are scored, the rest is context.

    Attributes:
        start: first token read.
        first: first token scored, over `start`.
        end: one past the last token scored; that last token itself is not read.
    """

    start: int
    first: int
    end: int


def plan_windows(num_tokens: int, *, window: int, stride: int, first: int = 1) -> list[ScoreWindow]:
    """Windows that score tokens `first` to `num_tokens` once each, reading at most `window` tokens at a time.

    Every scored token sees at least `min(its position, window - stride + 1)` tokens before it.

    Raises:
        ConfigError: the stride is under 1 or over the window.
    """
    if not 1 <= stride <= window:
        raise ConfigError(f"stride={stride} is outside 1..window={window}; half the window is a good stride")
    windows: list[ScoreWindow] = []
    begin = max(first, 1)
    while begin < num_tokens:
        reach = begin + stride if windows else max(begin + stride, window + 1)
        end = min(num_tokens, reach)
        windows.append(ScoreWindow(start=max(0, end - 1 - window), first=begin, end=end))
        begin = end
    return windows


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
    texts = [torch.as_tensor(ids, dtype=torch.int64).cpu() for ids in sequences]  # each (N,)
    firsts = list(first) if first is not None else [1] * len(texts)
    planned = [
        (row, part)
        for row, ids in enumerate(texts)
        for part in plan_windows(len(ids), window=window, stride=stride, first=firsts[row])
    ]
    planned.sort(key=lambda item: item[1].end - item[1].start)  # like lengths together: little padding
    results = [torch.zeros(max(0, len(ids) - max(1, begin))) for ids, begin in zip(texts, firsts, strict=True)]
    with _reading(model):
        for batch in _chunks(planned, batch_size):
            for (row, part), nll in zip(batch, _score_windows(model, texts, batch), strict=True):
                begin = part.first - max(1, firsts[row])
                results[row][begin : begin + len(nll)] = nll
    return results


def _score_windows(model: Decoder, texts: Sequence[Tensor], batch: Sequence[tuple[int, ScoreWindow]]) -> list[Tensor]:
    """NLL of each window's scored tokens; right padding is invisible to a causal model."""
    inputs = _pad([texts[row][part.start : part.end - 1] for row, part in batch])  # (B,T)
    scored = torch.zeros_like(inputs, dtype=torch.bool)  # (B,T) positions whose next token is scored
    for index, (_, part) in enumerate(batch):
        scored[index, part.first - 1 - part.start : part.end - 1 - part.start] = True
    labels = torch.cat([texts[row][part.first : part.end] for row, part in batch])  # (M,)
    device = _device(model)
    hidden = model.hidden(inputs.to(device), positions=_positions(batch).to(device))[scored.to(device)]  # (M,D)
    return list(torch.split(token_nll(model, hidden, labels), [part.end - part.first for _, part in batch]))


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
) -> list[Tensor]:
    """Negative log-likelihood of each target token given its source and the target tokens before it.

    Args:
        model: an encoder-decoder.
        sources: what the encoder reads, one list of ids a pair.
        targets: what the decoder is asked to say.
        start: what the decoder reads before a target, at least one token.
        batch_size: pairs run together.

    Returns:
        One (U,) float32 tensor a pair, on the CPU, nats.
    """
    order = sorted(range(len(targets)), key=lambda row: (len(sources[row]), len(targets[row])))
    results = [torch.zeros(0)] * len(targets)
    with _reading(model):
        for rows in _chunks([row for row in order if targets[row]], batch_size):
            pairs = _score_pairs(model, [sources[r] for r in rows], [targets[r] for r in rows], start)
            for row, nll in zip(rows, pairs, strict=True):
                results[row] = nll
    return results


def _score_pairs(
    model: EncoderDecoder, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], start: Sequence[int]
) -> list[Tensor]:
    device = _device(model)
    read = _pad([torch.tensor(list(source), dtype=torch.int64) for source in sources]).to(device)  # (B,S)
    mask = _lengths_mask([len(source) for source in sources]).to(device)  # (B,S)
    said = [torch.tensor([*start, *target[:-1]], dtype=torch.int64) for target in targets]
    scored = _lengths_mask([len(ids) for ids in said]).to(device)  # (B,U)
    scored[:, : len(start) - 1] = False
    encoded = model.encode(read, attention_mask=mask)  # (B,S,D)
    hidden = model.decode(_pad(said).to(device), encoded, attention_mask=mask)[scored]  # (M,D)
    labels = torch.cat([torch.tensor(list(target), dtype=torch.int64) for target in targets])
    return list(torch.split(token_nll(model, hidden, labels), [len(target) for target in targets]))


def score_masked(
    model: Encoder,
    ids: Sequence[int],
    *,
    mask_id: int,
    before: Sequence[int] = (),
    after: Sequence[int] = (),
    window: int,
    batch_size: int = 16,
) -> Tensor:
    """Pseudo-likelihood of a text: each token masked in turn (Salazar et al. 2020, eq. 1).

    Args:
        model: an encoder with a masked-token head.
        ids: (N,) tokens of the text, without special tokens.
        mask_id: the mask token.
        before: special tokens put in front ([CLS]).
        after: special tokens put behind ([SEP]).
        window: most tokens read at once, special ones included; a longer text is read `window` tokens around
            the masked one.
        batch_size: masked copies run together.

    Returns:
        (N,) float32 on the CPU, nats; their sum is the negative pseudo-log-likelihood.
    """
    room = window - len(before) - len(after)
    if room < 1:
        raise ConfigError(f"window={window} has no room for text beside {len(before) + len(after)} special tokens")
    with _reading(model):
        parts = [
            _score_places(model, ids, places, mask_id, tuple(before), tuple(after), room)
            for places in _chunks(range(len(ids)), batch_size)
        ]
    return torch.cat(parts) if parts else torch.zeros(0)


def _score_places(
    model: Encoder,
    ids: Sequence[int],
    places: Sequence[int],
    mask_id: int,
    before: tuple[int, ...],
    after: tuple[int, ...],
    room: int,
) -> Tensor:
    rows, holes = [], []
    for place in places:
        start = min(max(0, place - room // 2), max(0, len(ids) - room))
        text = list(ids[start : start + room])
        text[place - start] = mask_id
        rows.append(torch.tensor([*before, *text, *after], dtype=torch.int64))
        holes.append(len(before) + place - start)
    device = _device(model)
    hidden = model.hidden(torch.stack(rows).to(device))  # (B,T,D); all rows are equally long
    masked = hidden[torch.arange(len(rows), device=device), torch.tensor(holes, device=device)]  # (B,D)
    return token_nll(model, masked, torch.tensor([ids[place] for place in places], dtype=torch.int64))


def token_nll(model: _Head, hidden: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each label, from float32 logits made a bounded number of rows at a time.

    Args:
        model: whose head makes the logits.
        hidden: (M,D).
        labels: (M,) int64.

    Returns:
        (M,) float32 on the CPU, nats.
    """
    parts: list[Tensor] = []
    start, rows = 0, 16
    while start < len(hidden):
        logits = model.logits(hidden[None, start : start + rows])[0].float()  # (rows,V)
        part = nn.functional.cross_entropy(logits, labels[start : start + rows].to(logits.device), reduction="none")
        parts.append(part.cpu())
        start += rows
        rows = max(16, LOGITS_BYTES // (4 * logits.shape[-1]))  # V is known after the first few rows
    return torch.cat(parts) if parts else torch.zeros(0)


@contextmanager
def _reading(model: nn.Module) -> Iterator[None]:
    """No gradients, no dropout, and the model left as it was found."""
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
