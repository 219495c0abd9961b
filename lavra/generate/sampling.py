"""From logits to the next token: penalties, temperature, truncation of the tail, and the draw.

Pure functions on `logits` (B,V) with one setting a row, so that requests with different settings share a
batch.  They are applied in ONE order, the one of `transformers`: repetition penalty, presence and frequency
penalties, temperature, top-k, top-p, min-p; a row with temperature 0 takes the likeliest token after the
penalties.

Settings, their bounds and the counter-based randomness are in `lavra.generate.settings`.

Deliberately absent: logit bias, n-gram bans and grammars (they belong to a constrained-decoding engine).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lavra.base.errors import LavraError
from lavra.base.types import SamplingConfig
from lavra.generate.settings import UNIFORMS, uniforms


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Divide positive logits of seen tokens by the penalty and multiply negative ones (Keskar et al. 2019, §4.1).

    Args:
        logits: (B,V).
        seen: (B,V) True where the token occurs in the prompt or in what was written.
        penalty: (B,), 1 is off.
    """
    factor = penalty[:, None]
    return torch.where(seen, torch.where(logits > 0, logits / factor, logits * factor), logits)


def penalize_counts(logits: Tensor, counts: Tensor, presence: Tensor, frequency: Tensor) -> Tensor:
    """Subtract `presence` once and `frequency` per occurrence from tokens already written (the OpenAI rule).

    Args:
        logits: (B,V).
        counts: (B,V) occurrences among the generated tokens.
        presence: (B,).
        frequency: (B,).
    """
    return logits - presence[:, None] * (counts > 0) - frequency[:, None] * counts


def apply_temperature(logits: Tensor, temperature: Tensor) -> Tensor:
    """Divide logits (B,V) by temperature (B,); rows with 0 are left alone.

    The row's maximum is subtracted first, which no softmax sees and which keeps tiny temperatures finite.
    """
    divisor = torch.where(temperature > 0, temperature, torch.ones_like(temperature))
    return (logits - logits.amax(dim=-1, keepdim=True)) / divisor[:, None]


def keep_top_k(logits: Tensor, top_k: Tensor) -> Tensor:
    """Leave the k likeliest tokens of each row, ties with the k-th included; 0 leaves all.

    Args:
        logits: (B,V).
        top_k: (B,) int64.
    """
    vocab_size = logits.shape[-1]
    k = torch.where(top_k > 0, top_k, vocab_size).clamp(max=vocab_size)
    ranked = torch.topk(logits, int(k.max()), dim=-1).values  # (B, max k), best first
    threshold = ranked.gather(1, k[:, None] - 1)  # (B,1)
    return logits.masked_fill(logits < threshold, -math.inf)


def keep_top_p(logits: Tensor, top_p: Tensor) -> Tensor:
    """Leave the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020, §3.1).

    Tokens as likely as the last of them stay too.

    Args:
        logits: (B,V).
        top_p: (B,) in (0,1].
    """
    ranked = torch.sort(logits, dim=-1).values  # worst first, so that the tail is what accumulates
    tail = ranked.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p[:, None]
    tail &= top_p[:, None] < 1
    tail[:, -1] = False  # the likeliest token always stays
    threshold = ranked.gather(1, tail.sum(dim=-1, keepdim=True))  # (B,1) the least likely one that stays
    return logits.masked_fill(logits < threshold, -math.inf)


def keep_min_p(logits: Tensor, min_p: Tensor) -> Tensor:
    """Leave tokens at least `min_p` (B,) times as likely as the row's likeliest (Nguyen et al. 2024, §3)."""
    probabilities = logits.softmax(dim=-1)  # (B,V)
    floor = min_p[:, None] * probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < floor, -math.inf)


def forbid_from(logits: Tensor, num_tokens: int) -> Tensor:
    """Logits (B,V) with -inf from id `num_tokens` on: vocabularies are padded, and no text belongs to the padding."""
    if num_tokens >= logits.shape[-1]:
        return logits
    return logits.index_fill(1, torch.arange(num_tokens, logits.shape[-1], device=logits.device), -math.inf)


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse-CDF draw from softmax(logits), in float64 so that batching noise moves no border.

    Args:
        logits: (B,V), -inf where excluded.
        uniforms: (B,) float64 in [0,1).

    Returns:
        (B,) int64 token ids, never one of probability zero.
    """
    exact = logits.cpu() if logits.device.type == "mps" else logits  # MPS has no float64
    cdf = exact.double().softmax(dim=-1).cumsum(dim=-1)  # (B,V)
    total = cdf[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))  # rounding must not step past the last token
    target = torch.minimum(uniforms.to(cdf.device)[:, None] * total, below_total)
    return torch.searchsorted(cdf, target, right=True).squeeze(1).to(logits.device)


def draw_kept(logits: Tensor, kept: Tensor, uniforms: Tensor) -> Tensor:
    """A draw from softmax(kept), made from softmax(logits) and repeated where its token was cut.

    Args:
        logits: (B,V).
        kept: (B,V), the same with -inf where a token was cut.
        uniforms: (B,4) float64 in [0,1), as `lavra.generate.settings.uniforms` explains.

    Returns:
        (B,) int64 token ids.
    """
    tokens = draw(logits, uniforms[:, 0])
    for attempt in range(1, UNIFORMS):
        cut = kept.gather(1, tokens[:, None]).squeeze(1) == -math.inf  # (B,)
        if not bool(cut.any()):
            break
        again = draw(kept if attempt == UNIFORMS - 1 else logits, uniforms[:, attempt])
        tokens = torch.where(cut, again, tokens)
    return tokens


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sampling settings of a batch, one row each; every field is (B,).

    Attributes:
        temperature: float32, 0 is greedy.
        top_k: int64, 0 is off.
        top_p: float32, 1 is off.
        min_p: float32, 0 is off.
        repetition: float32, 1 is off.
        presence: float32, 0 is off.
        frequency: float32, 0 is off.
    """

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    min_p: Tensor
    repetition: Tensor
    presence: Tensor
    frequency: Tensor

    @staticmethod
    def of(configs: Sequence[SamplingConfig], device: torch.device) -> Settings:
        """Stack the settings of each row."""

        def column(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor([getattr(config, name) for config in configs], dtype=dtype, device=device)

        return Settings(
            temperature=column("temperature"),
            top_k=column("top_k", torch.int64),
            top_p=column("top_p"),
            min_p=column("min_p"),
            repetition=column("repetition_penalty"),
            presence=column("presence_penalty"),
            frequency=column("frequency_penalty"),
        )

    @cached_property
    def samples(self) -> bool:
        """Whether some row draws."""
        return bool((self.temperature > 0).any())

    @cached_property
    def penalizes_repetition(self) -> bool:
        """Whether some row penalises what the prompt or the text already holds."""
        return bool((self.repetition != 1).any())

    @cached_property
    def penalizes_counts(self) -> bool:
        """Whether some row penalises by occurrences."""
        return bool(((self.presence != 0) | (self.frequency != 0)).any())

    @cached_property
    def cuts(self) -> tuple[bool, bool, bool]:
        """Whether some row uses top-k, top-p, min-p."""
        return bool((self.top_k > 0).any()), bool((self.top_p < 1).any()), bool((self.min_p > 0).any())


def shape_logits(logits: Tensor, settings: Settings, prompt_seen: Tensor | None, counts: Tensor | None) -> Tensor:
    """Penalties and temperature, in this order; steps no row asks for are skipped.

    Args:
        logits: (B,V) float32.
        settings: one row each.
        prompt_seen: (B,V) bool, tokens of the prompts; needed where a repetition penalty is set.
        counts: (B,V) int64, occurrences among the generated tokens; needed where any penalty is set.

    Returns:
        (B,V).
    """
    if settings.penalizes_repetition:
        assert prompt_seen is not None
        assert counts is not None
        logits = penalize_repetition(logits, prompt_seen | (counts > 0), settings.repetition)
    if settings.penalizes_counts:
        assert counts is not None
        logits = penalize_counts(logits, counts, settings.presence, settings.frequency)
    return apply_temperature(logits, settings.temperature) if settings.samples else logits


def cut_tail(logits: Tensor, settings: Settings) -> Tensor:
    """Top-k, top-p and min-p, in this order: (B,V) shaped logits -> (B,V), -inf where a token may not be drawn."""
    if not settings.samples:
        return logits
    cut_top_k, cut_top_p, cut_min_p = settings.cuts
    if cut_top_k:
        logits = keep_top_k(logits, settings.top_k)
    if cut_top_p:
        logits = keep_top_p(logits, settings.top_p)
    if cut_min_p:
        logits = keep_min_p(logits, settings.min_p)
    return logits


class Sampler:
    """Chooses the next token of each row of a batch and remembers what penalties need.

    Args:
        configs: settings of each row; `seed` set where the temperature is over 0.
        samples: which of its request's samples each row is.
        prompts: token ids each row has read, for the repetition penalty.
        vocab_size: V.
        device: where the logits are.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
    """

    def __init__(
        self,
        configs: Sequence[SamplingConfig],
        samples: Sequence[int],
        prompts: Sequence[Sequence[int]],
        vocab_size: int,
        device: torch.device,
        num_tokens: int | None = None,
    ) -> None:
        self._keys = [(config.seed or 0, sample) for config, sample in zip(configs, samples, strict=True)]
        self._configs = list(configs)
        self._settings = Settings.of(configs, device)
        self._step = 0
        self._num_tokens = vocab_size if num_tokens is None else min(num_tokens, vocab_size)
        shape = (len(configs), vocab_size)
        remembers = self._settings.penalizes_repetition or self._settings.penalizes_counts
        self._counts = torch.zeros(shape, dtype=torch.int64, device=device) if remembers else None
        self._prompt_seen: Tensor | None = None
        if self._settings.penalizes_repetition:
            self._prompt_seen = torch.zeros(shape, dtype=torch.bool, device=device)
            for row, prompt in enumerate(prompts):
                self._prompt_seen[row, torch.tensor(list(prompt), dtype=torch.int64, device=device)] = True

    def choose(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of each row.

        Args:
            logits: (B,V) of the next position.

        Returns:
            tokens (B,) int64, and their natural-log probabilities (B,) float32 under the model's OWN distribution
            (before penalties, temperature and truncation).

        Raises:
            LavraError: the model's logits are not numbers.
        """
        logits = logits.float()
        allowed = forbid_from(logits, self._num_tokens)
        shaped = shape_logits(allowed, self._settings, self._prompt_seen, self._counts)
        tokens = shaped.argmax(dim=-1)
        if self._settings.samples:
            drawn = draw_kept(shaped, cut_tail(shaped, self._settings), self._uniforms())
            tokens = torch.where(self._settings.temperature > 0, drawn, tokens)
        logprobs = logits.log_softmax(dim=-1).gather(1, tokens[:, None]).squeeze(1)
        if bool(logprobs.isnan().any()):
            raise LavraError(
                "the model's logits are NaN: its weights are damaged or overflow in this dtype; try dtype='float32'"
            )
        if self._counts is not None:
            self._counts.scatter_add_(1, tokens[:, None], torch.ones_like(tokens)[:, None])
        self._step += 1
        return tokens, logprobs

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        index = torch.tensor(list(rows), dtype=torch.int64, device=self._settings.temperature.device)
        self._keys = [self._keys[row] for row in rows]
        self._configs = [self._configs[row] for row in rows]
        self._settings = Settings.of(self._configs, index.device)
        self._counts = None if self._counts is None else self._counts[index]
        self._prompt_seen = None if self._prompt_seen is None else self._prompt_seen[index]

    def _uniforms(self) -> Tensor:
        return torch.from_numpy(
            np.concatenate([uniforms(seed, sample, self._step, 1) for seed, sample in self._keys])  # (B,4)
        )
