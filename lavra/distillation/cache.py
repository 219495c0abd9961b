"""A teacher's predictions for the batches of a run, on disk: written once, read by every student.

    ids.bin        (N, k)      uint16 or uint32   the k likeliest tokens of each target
    logprobs.bin   (N, k + 1)  float16            their log-probabilities, and that of all other tokens together
    keys.npy       (M,)        uint64             the name of each batch: a hash of its contents
    offsets.npy    (M + 1,)    int64              where each batch's targets begin

A distribution is kept at one temperature, because its k likeliest do not determine a tempered distribution.  Reading
maps the files.  A batch is looked up by its contents, so that another data set, seed or shape is refused, not misread.

The predictions of a task's head are in `head_cache`, text by text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lavra.base.card import read_card, write_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Progress
from lavra.data.batch import Batch, BatchMaker
from lavra.distillation.passes import target_hidden
from lavra.model.build import Model
from lavra.model.config import Kind
from lavra.model.divergence import TopTeacher
from lavra.model.loss import chunk_rows
from lavra.train.identity import first_batch_id, weights_id

KIND: Final = "teacher-cache"


@dataclass(frozen=True, kw_only=True)
class TeacherCacheConfig:
    """The settings of a teacher's cache.

    Attributes:
        num_batches: micro-batches from number 0 on; a run reads steps x accumulation x processes of them.
        top_k: tokens kept of each distribution.
        temperature: temperature of the distributions; that of the run.
    """

    num_batches: int
    top_k: int = 64
    temperature: float = 2.0

    def __post_init__(self) -> None:
        for name in ("num_batches", "top_k"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not self.temperature > 0.0:
            raise ConfigError(f"temperature is {self.temperature}; give a number over 0")


class TeacherCache:
    """A teacher's written predictions, to be read while training.

    Args:
        folder: folder that `write_teacher_cache` wrote.

    Attributes:
        teacher: 16 hex digits that name the teacher's weights.
        kind: kind of the teacher's model.
        vocab_size: size of its vocabulary.
        temperature: temperature of its distributions.
        top_k: tokens kept of each distribution.

    Raises:
        InputError: the folder is no such cache, or a file has the wrong length.
    """

    def __init__(self, folder: Path) -> None:
        card = read_card(folder)
        if card.kind != KIND:
            raise InputError(f"{folder} is a {card.kind}, not a teacher's saved outputs; name a folder of them")
        self.folder, self.teacher = folder, card.parents["teacher"]
        self.kind, self.vocab_size = Kind(card.config["kind"]), int(card.config["vocab_size"])
        self.temperature, self.top_k = float(card.config["temperature"]), int(card.config["top_k"])
        self._offsets: npt.NDArray[np.int64] = np.load(folder / "offsets.npy")
        keys = np.load(folder / "keys.npy")
        self._numbers = {int(key): number for number, key in enumerate(keys)}
        rows = int(self._offsets[-1])
        self._ids = mapped(folder / "ids.bin", _id_type(self.vocab_size), (rows, self.top_k))
        self._logprobs = mapped(folder / "logprobs.bin", np.float16, (rows, self.top_k + 1))

    def __len__(self) -> int:
        """Number of different batches in the cache."""
        return len(self._numbers)

    def check(self, batch: Batch) -> None:
        """Raise InputError where the cache does not hold a batch."""
        self._number(batch)

    def of(self, batch: Batch) -> TopTeacher:
        """The teacher's predictions for a batch's targets.

        Raises:
            InputError: the cache does not hold the batch.
        """
        number = self._number(batch)
        rows = slice(self._offsets[number], self._offsets[number + 1])
        device = batch.labels.device
        ids = torch.from_numpy(self._ids[rows].astype(np.int64)).to(device)
        kept = torch.from_numpy(self._logprobs[rows].astype(np.float32)).to(device)
        kept = kept - kept.logsumexp(-1, keepdim=True)  # rounded to 16 bits, they do not sum to one
        return TopTeacher(ids=ids, logprobs=kept[:, :-1], log_rest=kept[:, -1])

    def _number(self, batch: Batch) -> int:
        key = _key(batch)
        if key not in self._numbers:
            named = batch.sample_ids[0] if batch.sample_ids else "a batch"
            raise InputError(
                f"{self.folder} holds {len(self)} batches and not this one ({named}): data, order, seed or shape "
                "differ, or the run is longer; write the cache again with this run's batches"
            )
        return self._numbers[key]


def write_teacher_cache(
    teacher: Model, batches: BatchMaker, folder: Path, config: TeacherCacheConfig, progress: Progress | None = None
) -> TeacherCache:
    """Run a teacher on a run's batches and keep its predictions; the folder appears whole or not at all.

    Args:
        teacher: a language model, put in evaluation mode.
        batches: batches of the run.
        folder: folder to write; an existing folder is replaced.
        config: settings of the cache.
        progress: called with `teacher`, the number of finished batches, and their total.

    Raises:
        ConfigError: `top_k` exceeds the teacher's vocabulary.
    """
    known = teacher.config.vocab_size
    if config.top_k > known:
        raise ConfigError(f"top_k is {config.top_k} and the teacher knows {known} tokens; give {known} or less")
    device = next(teacher.parameters()).device
    teacher.eval()
    keys: dict[int, None] = {}
    offsets = [0]
    with atomic_folder(folder) as work:
        with (work / "ids.bin").open("wb") as ids, (work / "logprobs.bin").open("wb") as logprobs:
            for number in range(config.num_batches):
                batch = batches.batch(number)
                key = _key(batch)
                if key not in keys:  # an epoch in the same order again
                    keys[key] = None
                    offsets.append(offsets[-1] + _write(teacher, batch.to(device), config, ids, logprobs))
                if progress is not None:
                    progress("teacher", number + 1, config.num_batches)
        np.save(work / "keys.npy", np.fromiter(keys, dtype=np.uint64, count=len(keys)))
        np.save(work / "offsets.npy", np.asarray(offsets, dtype=np.int64))
        settings = {**asdict(config), "vocab_size": known, "kind": teacher.config.kind.value}
        write_card(work, kind=KIND, parents={"teacher": weights_id(teacher)}, config=settings)
    return TeacherCache(folder)


@torch.no_grad()
def _write(teacher: Model, batch: Batch, config: TeacherCacheConfig, ids: BinaryIO, logprobs: BinaryIO) -> int:
    """Append a batch; returns its number of targets."""
    hidden = target_hidden(teacher, batch)
    size = chunk_rows(teacher.config.vocab_size, hidden.device)
    for start in range(0, len(hidden), size):
        logits = functional.linear(hidden[start : start + size], teacher.head_weight, teacher.head_bias)
        top, kept = top_and_rest(logits, config.top_k, config.temperature)
        ids.write(top.cpu().numpy().astype(_id_type(teacher.config.vocab_size)).tobytes())
        logprobs.write(kept.cpu().numpy().astype(np.float16).tobytes())
    return len(hidden)


def top_and_rest(logits: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor]:
    """From (n, V) logits: (n, k) likeliest ids, and (n, k + 1) log-probabilities of each and of all others together."""
    logp = functional.log_softmax(logits.float() / temperature, dim=-1)
    values, ids = logp.topk(k, dim=-1)
    rest = logp.scatter(1, ids, float("-inf")).logsumexp(-1, keepdim=True)
    return ids, torch.cat((values, rest), dim=-1)


def _key(batch: Batch) -> int:
    return int(first_batch_id(batch), 16)


def _id_type(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def mapped(path: Path, dtype: Any, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Map a file as an array, which is read where it is used.

    Raises:
        InputError: the file's length does not match the shape.
    """
    expected = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if not path.exists() or path.stat().st_size != expected:
        found = path.stat().st_size if path.exists() else 0
        raise InputError(f"{path} has {found} bytes and should have {expected}; write the cache again")
    if not expected:
        return np.empty(shape, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)
