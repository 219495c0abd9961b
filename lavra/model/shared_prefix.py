"""Scores of many texts by a decoder that reads shared beginnings once (`lavra.model.prefix_tree`).

Rows behind one trunk are computed together, its keys and values in front of each.  Logits are made for scored positions
alone, and once where several texts continue the same one differently.  The numbers are those of each text read alone,
but for the order of sums.

Deliberately absent: windows over long texts (`lavra.model.score` plans them), and rotary positions whose frequencies
depend on the length of a text, beyond the length where this dependence begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lavra.base.arrays import Int64s
from lavra.model.cache import Step
from lavra.model.prefix_tree import TreeRow, Trunk, plan_prefixes
from lavra.model.token_scores import TokenScores, join_scores, score_hidden
from lavra.model.transformer import Decoder

TRUNK_BYTES: Final = 2**30  # keys and values of trunks held at once
BATCH_TOKENS: Final = 2048  # tokens computed together, padding included
_KEYS_BYTES: Final = 256 * 2**20  # keys and values that one layer of a batch attends to
_LONGEST_ROW: Final = 1024
_LEAST_FILLED: Final = 0.8  # least share of a batch that is not padding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredText:
    """A text, and the first token of it to score.

    Attributes:
        ids: (N,) ids of the whole text, at least two.
        first: index of the first scored token, at least 1.
    """

    ids: Int64s
    first: int


@dataclass(frozen=True)
class _SharedCache:
    """Keys and values of each layer, (1, P, K, C), that stand before every row."""

    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()

    @property
    def length(self) -> int:
        return self.keys[0].shape[1] if self.keys else 0


class _RowsCache:
    """The `Cache` of rows behind a trunk: it keeps keys and values only for the next trunk.

    Args:
        past: keys and values of the trunks above.
        positions: (B, T) positions of the rows' tokens.
        sees: (B, T, P + T) True where a token attends to another.
        keeps: whether keys and values of the rows are kept.
    """

    def __init__(self, past: _SharedCache, positions: Tensor, sees: Tensor, *, keeps: bool) -> None:
        self.past, self.positions, self.sees, self.keeps = past, positions, sees, keeps
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.source: list[tuple[Tensor, Tensor]] = []
        self.source_mask: Tensor | None = None

    @property
    def batch_size(self) -> int:
        return self.positions.shape[0]

    def plan(self, num_tokens: int, real: Tensor | None, positions: Tensor | None) -> Step:
        length = self.past.length + num_tokens
        lengths = torch.full((self.batch_size,), length, device=self.positions.device)
        return Step(
            slots=self.positions,
            real=None,
            start=None,
            span=int(self.positions.max()) + 1,  # the bound that learned positions are checked against
            lengths=lengths,
            positions=self.positions,
            sees=self.sees,
        )

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.past.length:
            keys = torch.cat((self.past.keys[layer].expand(len(keys), -1, -1, -1), keys), dim=1)
            values = torch.cat((self.past.values[layer].expand(len(values), -1, -1, -1), values), dim=1)
        if self.keeps:
            self.keys.append(keys)
            self.values.append(values)
        return keys, values

    def write_positions(self, step: Step) -> Tensor:
        before = torch.arange(self.past.length, device=self.positions.device)
        return torch.cat((before.expand(self.batch_size, -1), self.positions), dim=1)

    def commit(self, step: Step) -> None:
        pass


class PrefixScorer:
    """Scores texts, or windows of them, that are read whole; used under `torch.inference_mode`.

    Args:
        model: a decoder.
        batch_size: rows computed together.
        top: number of likeliest tokens to return for each place.
    """

    def __init__(self, model: Decoder, *, batch_size: int, top: int = 0) -> None:
        self.model, self.batch_size, self.top = model, batch_size, top
        weight = next(model.parameters())
        config = model.config
        self.device = weight.device
        self._key_bytes = 2 * config.num_heads * config.head_dim * weight.element_size()  # of one position in a layer
        self._held_bytes = 2 * config.num_layers * config.num_kv_heads * config.head_dim * weight.element_size()

    def score(self, texts: Sequence[ScoredText]) -> list[TokenScores]:
        """The tokens of each text from `first` on."""
        self._parts: list[list[TokenScores]] = [[] for _ in texts]
        self._texts = texts
        self._readers: dict[bytes, list[int]] = {}  # texts by their read tokens, all but the last token
        for number, text in enumerate(texts):
            self._readers.setdefault(text.ids[:-1].tobytes(), []).append(number)
        self._reads = list(self._readers.values())
        root = plan_prefixes(
            [texts[numbers[0]].ids[:-1] for numbers in self._reads],
            longest_row=_LONGEST_ROW,
            longest_trunk=TRUNK_BYTES // self._held_bytes,
        )
        self._below(root, _SharedCache())
        return [join_scores(parts, self.top) for parts in self._parts]

    def _below(self, trunk: Trunk, past: _SharedCache) -> None:
        """Score all rows and trunks behind a trunk."""
        rows = sorted(trunk.rows, key=lambda row: len(row.tokens))
        while rows:
            count = self._count(rows, past.length)
            self._read(rows[-count:], past)
            rows = rows[:-count]
        for below in trunk.trunks:
            assert below.row is not None
            cache = self._read([below.row], past, keeps=True)
            self._below(below, _SharedCache(tuple(cache.keys), tuple(cache.values)))

    def _count(self, rows: Sequence[TreeRow], past: int) -> int:
        """The number of the longest rows that are computed together."""
        longest = len(rows[-1].tokens)
        by_keys = _KEYS_BYTES // (self._key_bytes * (past + longest))
        most = max(1, min(self.batch_size, BATCH_TOKENS // longest, by_keys, len(rows)))
        filled = longest
        for count in range(1, most):
            filled += len(rows[-count - 1].tokens)
            if filled < _LEAST_FILLED * (count + 1) * longest:
                return count
        return most

    def _read(self, rows: Sequence[TreeRow], past: _SharedCache, *, keeps: bool = False) -> _RowsCache:
        """Run a pass over rows, and score them."""
        time = max(len(row.tokens) for row in rows)
        tokens, positions = np.zeros((2, len(rows), time), dtype=np.int64)
        for number, row in enumerate(rows):
            count = len(row.tokens)
            tokens[number, :count], positions[number, :count] = row.tokens, row.positions
            positions[number, count:] = row.positions.max(initial=0)
        placed = torch.from_numpy(positions).to(self.device)
        plain = not past.length and not keeps and all(row.sees is None for row in rows)
        cache = _RowsCache(past, placed, torch.zeros(0) if plain else self._sees(rows, past.length, time), keeps=keeps)
        ids = torch.from_numpy(tokens).to(self.device)
        hidden = self.model.hidden(ids, positions=placed, cache=None if plain else cache)  # (B, T, D)
        self._take(rows, hidden)
        return cache

    def _sees(self, rows: Sequence[TreeRow], past: int, time: int) -> Tensor:
        """(B, T, P + T) True where a token may attend to another; padding sees as a text's tokens do."""
        seen = np.zeros((len(rows), time, past + time), dtype=np.bool_)
        seen[:, :, :past] = True
        chain = np.tri(time, dtype=np.bool_)
        for number, row in enumerate(rows):
            if row.sees is None:
                seen[number, :, past:] = chain
            else:
                count = len(row.tokens)
                seen[number, :count, past : past + count] = row.sees
        return torch.from_numpy(seen).to(self.device)

    def _take(self, rows: Sequence[TreeRow], hidden: Tensor) -> None:
        """Score the wanted positions of the rows; each position's logits are computed once."""
        time, wanted = hidden.shape[1], []
        for number, row in enumerate(rows):
            for read, columns in row.columns.items():
                for text in self._reads[read]:
                    places, labels = self._wanted(self._texts[text], columns, row.positions)
                    if len(places):
                        wanted.append((text, places + number * time, labels))
        if not wanted:
            return
        places, which = np.unique(np.concatenate([places for _, places, _ in wanted]), return_inverse=True)
        chosen = hidden.flatten(0, 1)[torch.from_numpy(places).to(self.device)]  # (M, D)
        asked = torch.from_numpy(np.concatenate([labels for _, _, labels in wanted]))
        scores = score_hidden(self.model, chosen, asked, self.top, places=torch.from_numpy(which))
        sizes = [len(places) for _, places, _ in wanted]
        for (text, _, _), part in zip(wanted, scores.split(sizes), strict=True):
            self._parts[text].append(part)

    def _wanted(self, text: ScoredText, columns: Int64s, positions: Int64s) -> tuple[Int64s, Int64s]:
        """The columns whose next token is scored, and these next tokens."""
        if not len(columns):
            return columns, columns
        start = int(positions[columns[0]])
        skip = max(0, text.first - 1 - start)
        return columns[skip:], text.ids[start + skip + 1 : start + len(columns) + 1]
