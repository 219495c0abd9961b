"""A byte tokenizer with every special token of the objectives, and datasets of random bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lavra.base.types import Document
from lavra.data.pretraining.dataset import TokenDataset, write_tokens

NUM_SENTINELS = 40
EOT, UNK, PAD, CLS, SEP, MASK, BOS, EOS, PRE, SUF, MID = range(256, 267)
SENTINELS = list(range(267, 267 + NUM_SENTINELS))


@dataclass
class ByteTokenizer:
    """Ids 0-255 are bytes; a space begins a word; `?` counts as unknown."""

    bos_id: int | None = EOT
    eos_id: int | None = EOT
    vocab_size: int = 267 + NUM_SENTINELS
    unk_id: int | None = UNK
    pad_id: int | None = PAD
    cls_id: int | None = CLS
    sep_id: int | None = SEP
    mask_id: int | None = MASK

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(range(256, 267 + NUM_SENTINELS))

    @property
    def sentinel_ids(self) -> list[int]:
        return SENTINELS

    @property
    def id_dtype(self):
        return np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    def ids(self, text: str) -> list[int]:
        return [UNK if byte == ord("?") else byte for byte in text.encode()]

    def encode_to_array(self, texts: Sequence[str], *, parse_special: bool = True):
        assert not parse_special, "text nobody vouches for must not give special tokens"
        return [np.asarray(self.ids(text), dtype=self.id_dtype) for text in texts]

    def num_unknown(self, ids: np.ndarray) -> int:
        return ids.tolist().count(UNK)

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        return [place == 0 or token == ord(" ") for place, token in enumerate(ids)]

    def token(self, token_id: int) -> str:
        return chr(token_id) if token_id < 256 else f"<{token_id}>"


def dataset_of(
    folder: Path, lengths: Sequence[int], tokenizer: ByteTokenizer | None = None, seed: int = 0
) -> TokenDataset:
    """Documents of lower-case letters and spaces with these numbers of tokens (without framing)."""
    draw = np.random.default_rng(seed)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)
    documents = [
        Document(id=f"d{number}", text=bytes(draw.choice(letters, size=length)).decode())
        for number, length in enumerate(lengths)
    ]
    return write_tokens(folder, documents, tokenizer or ByteTokenizer())
