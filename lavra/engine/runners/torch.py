"""The torch runner: any decoder or encoder-decoder, on any device, over blocks.

The model is the one that trains: it gets a cache that keeps keys and values in blocks instead of rows.  Rows with
equally many new tokens are computed together; so the single tokens of all running sequences are one batch, and each
part of a prompt is a batch of its own, with no padding anywhere.  Each row has the adapter it names (`adapted.py`).

Blocks hold keys and values in the model's type, in bfloat16, or as integers, each head of a token with a scale and a
middle (`stores.py`); writing rows keep a copy of theirs side by side (`resident.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.engine.config import CacheType
from lavra.engine.runners.adapted import RowAdapters
from lavra.engine.runners.fused import fuse
from lavra.engine.runners.resident import Resident, ResidentCache
from lavra.engine.runners.stores import BlockStore, FloatStore, Int8Store
from lavra.model.attention import Attention
from lavra.model.block import Block
from lavra.model.cache import Cache, Step
from lavra.model.config import ModelConfig, Scaling
from lavra.model.transformer import Decoder, EncoderDecoder

_SOURCES_KEPT = 64  # encoded sources; an evicted source is encoded again
SourceKey = tuple[str | None, tuple[int, ...]]  # the adapter and the tokens


class TorchRunner:
    """The `Runner` port on a torch model.

    Args:
        model: a decoder or an encoder-decoder; it is put in evaluation mode.  Rows may name its adapters; rows without
            an adapter use the model itself, whatever adapter is active in the model.
        config: configuration of the model.
        num_blocks: number of blocks of the cache.
        block_size: tokens in a block.
        cache_type: type of the stored keys and values: `model` (the type of the weights), `bf16`, `int8`.

    Raises:
        ConfigError: the cache type is unknown.
        InputError: the model's positions depend on the length of the whole text (dynamic rope scaling), so no
            numbers computed for a shorter text can be kept.
    """

    def __init__(
        self,
        model: Decoder | EncoderDecoder,
        config: ModelConfig,
        *,
        num_blocks: int,
        block_size: int = 16,
        cache_type: CacheType = "model",
    ) -> None:
        if cache_type not in get_args(CacheType):
            raise ConfigError(f"cache_type={cache_type!r} is unknown; known: {', '.join(get_args(CacheType))}")
        scaling = None if config.rope is None else config.rope.scaling
        if scaling is not None and scaling.kind is Scaling.DYNAMIC:
            raise InputError(
                "dynamic rope scaling turns every key anew as the text grows, so an engine cannot keep any; "
                "decode in this process with lavra.load, or set another rope_scaling in config.json"
            )
        self.model, self.num_blocks, self.block_size = fuse(model.eval()), num_blocks, block_size
        weight = next(model.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._stores = [
            (self._store(config, cache_type), self._store(config, cache_type)) for _ in range(len(model.decoder.blocks))
        ]
        shape = (config.num_kv_heads, config.head_dim)
        self._resident = Resident(self._stores, num_blocks, block_size, shape, self._dtype, self._device)
        self._adapters = RowAdapters(self.model, self._device)
        self._sources: OrderedDict[SourceKey, list[tuple[Tensor, Tensor]]] = OrderedDict()
        self._stacked: tuple[tuple[SourceKey, ...], list[tuple[Tensor, Tensor]], Tensor | None] | None = None

    def _store(self, config: ModelConfig, cache_type: CacheType) -> BlockStore:
        shape = (self.num_blocks, self.block_size, config.num_kv_heads, config.head_dim)
        if cache_type == "int8":
            return Int8Store(shape, self._device)
        return FloatStore(shape, torch.bfloat16 if cache_type == "bf16" else self._dtype, self._device)

    def forward(self, batch: ForwardBatch) -> npt.NDArray[np.float32]:
        """Read the rows' tokens into their blocks; (sum of num_logits, V) logits, in the order of the rows.

        Raises InputError for a row whose adapter the model does not have, before any number is written.
        """
        self._adapters.check([row.adapter for row in batch.rows])
        with torch.inference_mode():
            if batch.copies:
                self._copy(batch.copies)
            groups: dict[int, list[int]] = {}
            for number, row in enumerate(batch.rows):
                groups.setdefault(len(row.tokens), []).append(number)
            hidden: dict[int, Tensor] = {}  # hidden states of the rows whose logits are wanted
            for numbers in groups.values():
                read = self._read([batch.rows[number] for number in numbers])  # (B, T, D)
                for number, states in zip(numbers, read, strict=True):
                    if batch.rows[number].num_logits:
                        hidden[number] = states[-batch.rows[number].num_logits :]
            if not hidden:
                return np.zeros((0, self.model.config.vocab_size), dtype=np.float32)
            logits = self.model.logits(torch.cat([hidden[number] for number in sorted(hidden)]))
            return logits.float().cpu().numpy()

    def close(self) -> None:
        """Free the memory."""
        self._stores.clear()
        self._resident.clear()
        self._sources.clear()
        self._stacked = None

    def _copy(self, copies: Sequence[tuple[int, int]]) -> None:
        old, new = torch.tensor(copies, device=self._device).T
        for keys, values in self._stores:
            keys.copy(old, new)
            values.copy(old, new)
        self._resident.forget(to for _, to in copies)

    def _read(self, rows: Sequence[ForwardRow]) -> Tensor:
        """Rows of T tokens each -> (B, T, D) hidden states."""
        if len(rows[0].tokens) == 1 and self._resident.fits(rows):
            order = self._resident.arrange(rows)
            placed = [rows[number] for number in order]
            cache: Cache = ResidentCache(self._resident, self._stores, placed, self.block_size, self._device)
            back = torch.tensor(order, device=self._device).argsort()
            return self._hidden(placed, cache)[back]
        self._resident.forget(block for row in rows for block in self._written(row))
        return self._hidden(rows, PagedCache(self._stores, rows, self.block_size, self._device, self._dtype))

    def _written(self, row: ForwardRow) -> tuple[int, ...]:
        """The blocks that a row writes into."""
        end = row.start + len(row.tokens)
        return row.blocks[row.start // self.block_size : -(-end // self.block_size)]

    def _hidden(self, rows: Sequence[ForwardRow], cache: Cache) -> Tensor:
        ids = torch.tensor([row.tokens for row in rows], dtype=torch.int64, device=self._device)
        if isinstance(self.model, Decoder):
            self._adapters.choose([row.adapter for row in rows])
            return self.model.hidden(ids, cache=cache)
        cache.source, cache.source_mask = self._encoded([(row.adapter, row.source or ()) for row in rows])
        self._adapters.choose([row.adapter for row in rows])
        return self.model.decode(ids, None, cache=cache)

    def _encoded(self, sources: Sequence[SourceKey]) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Keys and values of every source for every layer, padded to the longest, and (B, S) True on real tokens."""
        key = tuple(sources)
        if self._stacked is None or self._stacked[0] != key:
            found = [self._encode(source) for source in sources]
            lengths = torch.tensor([len(tokens) for _, tokens in sources], device=self._device)
            longest = int(lengths.max())
            layers = [
                (_padded([one[layer][0] for one in found], longest), _padded([one[layer][1] for one in found], longest))
                for layer in range(len(found[0]))
            ]
            mask = torch.arange(longest, device=self._device)[None] < lengths[:, None]
            self._stacked = key, layers, None if bool(mask.all()) else mask
        return self._stacked[1], self._stacked[2]

    def _encode(self, source: SourceKey) -> list[tuple[Tensor, Tensor]]:
        assert isinstance(self.model, EncoderDecoder)
        if source not in self._sources:
            adapter, tokens = source
            self._adapters.choose([adapter])
            ids = torch.tensor([tokens], dtype=torch.int64, device=self._device)
            encoded = self.model.encode(ids)  # (1, S, D)
            self._sources[source] = [_cross(block).keys_values(encoded) for block in self.model.decoder.blocks]
            if len(self._sources) > _SOURCES_KEPT:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return self._sources[source]


def _cross(block: nn.Module) -> Attention:
    assert isinstance(block, Block)
    assert block.cross_attention is not None
    return block.cross_attention


def _padded(vectors: Sequence[Tensor], length: int) -> Tensor:
    """(1, S, K, C) each -> (B, length, K, C)."""
    return torch.cat([nn.functional.pad(one, (0, 0, 0, 0, 0, length - one.shape[1])) for one in vectors])


class PagedCache:
    """The model's cache for one batch: rows of T new tokens, each over its own blocks.

    It has the methods of `lavra.model.cache.Cache`.  Slot n of a row is position n of its sequence, wherever the
    block that holds it lies.
    """

    def __init__(
        self,
        stores: Sequence[tuple[BlockStore, BlockStore]],
        rows: Sequence[ForwardRow],
        block_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._stores, self._dtype = stores, dtype
        self.source: list[tuple[Tensor, Tensor]] = []
        self.source_mask: Tensor | None = None
        self.batch_size = len(rows)
        starts, time = [row.start for row in rows], len(rows[0].tokens)
        self._span = max(starts) + time
        width = -(-self._span // block_size)
        tables = [(row.blocks + (row.blocks[-1],) * width)[:width] for row in rows]  # shorter rows repeat a block
        table = torch.tensor(tables, device=device)  # (B, blocks)
        first = torch.tensor(starts, device=device)
        slots = first[:, None] + torch.arange(time, device=device)  # (B, T)
        self._places = (table.gather(1, slots // block_size) * block_size + slots % block_size).flatten()
        self._blocks: Tensor | slice = table
        if len(rows) == 1 and all(b == a + 1 for a, b in zip(tables[0], tables[0][1:], strict=False)):
            self._blocks = slice(tables[0][0], tables[0][0] + width)  # neighbours: no copy is needed
        start = starts[0] if min(starts) == max(starts) else None
        self._step = Step(slots, None, start, self._span, first + time, slots)

    def plan(self, num_tokens: int, real: Tensor | None, positions: Tensor | None) -> Step:
        """The slots of the new tokens, decided when the cache was made."""
        assert real is None
        assert positions is None
        assert num_tokens == self._step.slots.shape[1]
        return self._step

    def write(self, layer: int, step: Step, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, T, K, C) keys and values; return those of all slots in use, each (B, S, K, C)."""
        store = self._stores[layer]
        return self._through(store[0], keys), self._through(store[1], values)

    def _through(self, store: BlockStore, vectors: Tensor) -> Tensor:
        store.write(self._places, vectors.flatten(0, 1))
        found = store.read(self._blocks, self._dtype)  # (B, blocks, block_size, K, C), or without B
        return found.reshape(self.batch_size, -1, *found.shape[-2:])[:, : self._span]

    def write_positions(self, step: Step) -> Tensor:
        """Positions of all slots in use, (1, S): a slot's number."""
        return torch.arange(self._span, device=step.slots.device)[None]

    def commit(self, step: Step) -> None:
        """Do nothing: the code that made the cache counts tokens."""
