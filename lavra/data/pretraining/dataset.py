"""Tokenised documents on disk: one flat file of token ids and the place where each document starts.

`write_tokens` reads documents as a stream and keeps only one small batch of them in memory; `TokenDataset` maps
the file, so that opening 4 GB of text costs nothing and a batch reads only the tokens it needs.

A document is stored as `[start] + tokens (+ [end])`.  With one end-of-text token for everything (the GPT-2
convention) it is `[eot] + tokens` and the *next* document's eot is the label at which generation learns to stop;
with a `<s>`/`</s>` pair the document carries both; with neither (BERT) it is the tokens alone.

    folder/ tokens.bin     uint16 or uint32, little-endian
            offsets.npy    (num_documents + 1,) int64
            bytes.npy      (num_documents,) int64: UTF-8 bytes of each text
            ids.jsonl      one JSON string a line: `Document.id`
            lavra.json     the card

Deliberately absent: shuffling (an epoch is a permutation computed by the batch makers) and compression.
"""

from __future__ import annotations

import json
import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from lavra.base.card import Card, read_card, write_card
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Progress, silent
from lavra.base.types import Document
from lavra.data.tokenizer import TextEncoder, TokenArray

logger = logging.getLogger(__name__)

TOKENS_FILE = "tokens.bin"
OFFSETS_FILE = "offsets.npy"
BYTES_FILE = "bytes.npy"
IDS_FILE = "ids.jsonl"

# Texts tokenised together: enough for `tokenizers`' threads, small enough to keep memory flat.
BATCH_DOCUMENTS = 512
BATCH_CHARACTERS = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The special tokens around every stored document.

    Attributes:
        start: id of the first token; None where the tokenizer has neither a bos nor an eos.
        end: id of the last token; None where the next document's `start` marks the end.
    """

    start: int | None
    end: int | None

    @classmethod
    def of(cls, tokenizer: TextEncoder) -> Frame:
        """The bos in front and the eos behind; where they are one token, or only one exists, that one in front."""
        bos, eos = tokenizer.bos_id, tokenizer.eos_id
        start = bos if bos is not None else eos
        return cls(start=start, end=eos if bos is not None and eos != bos else None)

    @property
    def head(self) -> list[int]:
        """The token in front, as a list of none or one."""
        return [] if self.start is None else [self.start]

    @property
    def tail(self) -> list[int]:
        """The token behind, as a list of none or one."""
        return [] if self.end is None else [self.end]


class TokenDataset:
    """The tokens of a split, mapped from disk. Read-only; safe to share between threads and processes."""

    def __init__(self, folder: Path, card: Card) -> None:
        """Use `TokenDataset.open`."""
        self.folder = folder
        self.card = card
        self.vocab_size: int = card.config["vocab_size"]
        self.frame = Frame(start=card.config["start_id"], end=card.config["end_id"])
        self.num_tokens: int = card.config["num_tokens"]  # specials included
        self.num_bytes: int = card.config["num_bytes"]  # UTF-8 bytes of the texts
        self.num_unknown: int = card.config["num_unknown"]
        self.num_special_inside: int = card.config["num_special_inside"]
        self.num_empty_dropped: int = card.config["num_empty_dropped"]
        self.offsets: npt.NDArray[np.int64] = np.load(folder / OFFSETS_FILE, allow_pickle=False)
        self.document_bytes: npt.NDArray[np.int64] = np.load(folder / BYTES_FILE, allow_pickle=False)
        self.tokens: npt.NDArray[Any] = _map_tokens(folder / TOKENS_FILE, card.config["dtype"], self.num_tokens)

    @classmethod
    def open(cls, folder: Path | str) -> TokenDataset:
        """Open a folder that `write_tokens` wrote.

        Raises:
            InputError: not a folder of tokens, or a file of it is truncated.
        """
        folder = Path(folder)
        card = read_card(folder)
        if card.kind != "tokens":
            raise InputError(f"{folder} holds a {card.kind!r}, not 'tokens'; name a folder that write_tokens made")
        return cls(folder, card)

    @property
    def num_documents(self) -> int:
        """The number of documents stored."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(num_documents,) tokens of each document, specials included."""
        return np.diff(self.offsets)

    @property
    def content_bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(num_documents,) begin and end of each document's own tokens in `tokens`, without start and end."""
        return self.offsets[:-1] + len(self.frame.head), self.offsets[1:] - len(self.frame.tail)

    def document(self, index: int) -> npt.NDArray[Any]:
        """The tokens of one document, with its start (and end) token."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def content(self, index: int) -> npt.NDArray[Any]:
        """The tokens of one document without its start and end token."""
        begin, end = self.offsets[index] + len(self.frame.head), self.offsets[index + 1] - len(self.frame.tail)
        return self.tokens[begin:end]

    @cached_property
    def document_ids(self) -> list[str]:
        """`Document.id` of every document, read when first asked for."""
        with (self.folder / IDS_FILE).open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def _map_tokens(path: Path, dtype: str, num_tokens: int) -> npt.NDArray[Any]:
    kind = np.dtype(dtype).newbyteorder("<")
    size = path.stat().st_size
    if size != num_tokens * kind.itemsize:
        raise InputError(
            f"{path} has {size} bytes; its card says {num_tokens} tokens of {kind.itemsize} bytes: "
            "it is damaged; write the tokens again"
        )
    if num_tokens == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype=kind)
    # A plain ndarray view: fancy indexing of the memmap subclass costs several times more.
    return np.asarray(np.memmap(path, dtype=kind, mode="r"))


def write_tokens(
    folder: Path | str,
    documents: Iterable[Document],
    tokenizer: TextEncoder,
    progress: Progress = silent,
    *,
    num_bytes: int | None = None,
    parents: Mapping[str, str] | None = None,
) -> TokenDataset:
    """Tokenise documents into a folder, atomically and in bounded memory.

    Args:
        folder: the folder to write; replaced if it exists.
        documents: the documents, read once, in order.
        tokenizer: the tokenizer; its bos and eos, where it has them, frame each document.
        progress: called after every batch with the bytes of text done.
        num_bytes: bytes of all documents, where the caller has counted them; for `progress` alone.
        parents: ids of the corpus and the tokenizer, for the card.

    Special tokens written in the text are spelled out, so that no document can end another.  Documents without a
    single token are left out and counted in `num_empty_dropped`; unknown tokens are counted in `num_unknown`; special
    tokens that the text gives nevertheless (a SentencePiece model may know `</s>` as a piece) in `num_special_inside`.
    """
    folder = Path(folder)
    with atomic_folder(folder) as work:
        with (work / TOKENS_FILE).open("wb") as tokens, (work / IDS_FILE).open("w", encoding="utf-8") as ids:
            writer = _Writer(tokens, ids, tokenizer)
            for batch in _batches(documents):
                writer.add(batch)
                progress("tokenise", writer.num_bytes, num_bytes)
        np.save(work / OFFSETS_FILE, np.asarray(writer.offsets, dtype=np.int64))
        np.save(work / BYTES_FILE, np.asarray(writer.document_bytes, dtype=np.int64))
        write_card(work, kind="tokens", parents=parents or {}, config=writer.summary())
    writer.warn()
    return TokenDataset.open(folder)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Writer:
    """Appends batches of documents to the open files and counts tokens and documents."""

    def __init__(self, tokens: BinaryIO, ids: TextIO, tokenizer: TextEncoder) -> None:
        self.tokens, self.ids, self.tokenizer = tokens, ids, tokenizer
        self.frame = Frame.of(tokenizer)
        self.dtype = np.dtype(tokenizer.id_dtype).newbyteorder("<")
        self.vocab_size = tokenizer.vocab_size
        # An unknown token is often special too; it is counted once, as unknown.
        self.special = np.asarray(sorted(tokenizer.special_ids - {tokenizer.unk_id}), dtype=np.int64)
        self.offsets = array("q", [0])
        self.document_bytes = array("q")
        self.num_bytes = self.num_unknown = self.num_special_inside = self.num_empty_dropped = 0

    def add(self, documents: Sequence[Document]) -> None:
        rows = self.tokenizer.encode_to_array([document.text for document in documents], parse_special=False)
        for document, row in zip(documents, rows, strict=True):
            if len(row):
                self._append(document, row)
            else:
                self.num_empty_dropped += 1

    def _append(self, document: Document, row: TokenArray) -> None:
        ids = np.concatenate([self.frame.head, row, self.frame.tail]).astype(self.dtype)
        # Some tokenizers leave gaps, and then their largest id is over their number of tokens.
        self.vocab_size = max(self.vocab_size, int(ids.max()) + 1)
        self.num_unknown += self.tokenizer.num_unknown(row)
        self.num_special_inside += int(np.isin(row, self.special).sum())
        self.tokens.write(ids.tobytes())
        self.ids.write(json.dumps(document.id, ensure_ascii=False) + "\n")
        self.offsets.append(self.offsets[-1] + len(ids))
        self.document_bytes.append(len(document.text.encode()))
        self.num_bytes += self.document_bytes[-1]

    def summary(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype.name,
            "vocab_size": self.vocab_size,
            "start_id": self.frame.start,
            "end_id": self.frame.end,
            "num_documents": len(self.document_bytes),
            "num_tokens": self.offsets[-1],
            "num_bytes": self.num_bytes,
            "num_unknown": self.num_unknown,
            "num_special_inside": self.num_special_inside,
            "num_empty_dropped": self.num_empty_dropped,
        }

    def warn(self) -> None:
        for count, what in (
            (self.num_unknown, "tokens are unknown to the tokenizer: bits per byte of this text mean nothing"),
            (
                self.num_special_inside,
                "special tokens came out of the text itself: a document may seem to end early",
            ),
            (self.num_empty_dropped, "documents have no token and were left out"),
        ):
            if count:
                logger.warning("%d %s", count, what)
