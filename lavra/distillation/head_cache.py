"""A teacher's logits from a task's head for the texts of a run, on disk: each text is computed once.

    logits.bin     float32       of each row, without its padding: (N,), (T, N) where there is a logit a token
    keys.npy       (M,)  uint64  the name of each row: a hash of its tokens
    offsets.npy    (M + 1,)      where each row's logits begin

A pass over the teacher costs as much as most of a student's step; from the second epoch on, and for every other
student, temperature or order, it is not needed again.  Rows are looked up by their contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lavra.base.arrays import Float32s
from lavra.base.card import read_card, write_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import atomic_folder
from lavra.base.ports import Progress
from lavra.data.rows.batch import TaskBatch, TaskBatchMaker
from lavra.distillation.cache import mapped
from lavra.distillation.passes import task_logits
from lavra.model.heads import TaskModel
from lavra.model.task_config import TaskConfig
from lavra.train.identity import weights_id

KIND: Final = "teacher-head-cache"


class HeadCache:
    """A teacher's written logits, to be read while training.

    Args:
        folder: folder that `write_head_cache` wrote.

    Attributes:
        teacher: 16 hex digits that name the teacher's weights.
        task: task of the teacher's head.
        shape: number of logits, and whether they are given for each token of a row or for the row as a whole.

    Raises:
        InputError: the folder is no such cache, or a file has the wrong length.
    """

    def __init__(self, folder: Path) -> None:
        card = read_card(folder)
        if card.kind != KIND:
            raise InputError(
                f"{folder} is a {card.kind}, not the saved outputs of a teacher's head; name a folder of them"
            )
        self.folder, self.teacher = folder, card.parents["teacher"]
        self.task = TaskConfig.from_facts(card.config["task"], where=str(folder))
        self.shape = (int(card.config["width"]), bool(card.config["each_token"]))
        self._offsets: npt.NDArray[np.int64] = np.load(folder / "offsets.npy")
        self._numbers = {int(key): number for number, key in enumerate(np.load(folder / "keys.npy"))}
        self._logits = mapped(folder / "logits.bin", np.float32, (int(self._offsets[-1]), self.shape[0]))

    def __len__(self) -> int:
        """Number of different rows in the cache."""
        return len(self._numbers)

    def lacks(self, batch: TaskBatch) -> bool:
        """Whether the cache lacks a row of a batch."""
        return any(key not in self._numbers for key in _keys(batch))

    def rows(self) -> Iterator[tuple[int, Float32s]]:
        """The name of each row, and its logits."""
        for key, number in self._numbers.items():
            yield key, self._at(number)

    def check(self, batch: TaskBatch) -> None:
        """Raise InputError where the cache does not hold a row of a batch."""
        for key in _keys(batch):
            self._row(key, batch)

    def of(self, batch: TaskBatch) -> Tensor:
        """The teacher's logits, as `task_logits` returns them; 0 on padding.

        Raises:
            InputError: the cache does not hold a row of the batch.
        """
        rows = [torch.from_numpy(np.array(self._row(key, batch))) for key in _keys(batch)]
        width, each_token = self.shape
        if not each_token:
            return torch.cat(rows).to(batch.input_ids.device)  # (B, N)
        out = torch.zeros((*batch.input_ids.shape, width))  # (B, T, N)
        for number, row in enumerate(rows):
            out[number, : len(row)] = row
        return out.to(batch.input_ids.device)

    def _row(self, key: int, batch: TaskBatch) -> Float32s:
        number = self._numbers.get(key)
        if number is None:
            raise InputError(
                f"{self.folder} holds {len(self)} texts and not one of {batch.sample_ids[0]} and those beside it: the "
                "data or the length of rows are others, or the run is longer; write the cache again for this run"
            )
        return self._at(number)

    def _at(self, number: int) -> Float32s:
        return self._logits[self._offsets[number] : self._offsets[number + 1]]


def write_head_cache(
    teacher: TaskModel,
    batches: TaskBatchMaker,
    folder: Path,
    num_batches: int,
    progress: Progress | None = None,
    *,
    known: HeadCache | None = None,
) -> HeadCache:
    """Run a teacher on the rows of a run and keep its logits; the folder appears whole or not at all.

    Args:
        teacher: the teacher, put in evaluation mode.
        batches: batches of the run.
        folder: folder to write; an existing folder is replaced.
        num_batches: micro-batches from number 0 on; a run reads steps x accumulation x processes of them.
        progress: called with `teacher`, the number of finished batches, and their total.
        known: an earlier cache of this teacher; its rows are kept and not computed again.

    Raises:
        ConfigError: `num_batches` is under 1.
    """
    if num_batches < 1:
        raise ConfigError(f"num_batches is {num_batches}; give 1 or more")
    device = next(teacher.parameters()).device
    teacher.eval()
    lengths: dict[int, int] = {}
    shape = None if known is None else known.shape
    with atomic_folder(folder) as work:
        with (work / "logits.bin").open("wb") as file:
            for key, row in known.rows() if known is not None else ():
                file.write(row.tobytes())
                lengths[key] = len(row)
            for number in range(num_batches):
                batch = batches.batch(number)
                keys = _keys(batch)
                if any(key not in lengths for key in keys):
                    with torch.no_grad():
                        logits = task_logits(teacher, batch.to(device), whole=False).cpu()
                    shape = (logits.shape[-1], logits.ndim == 3)
                    _append(file, batch, logits, keys, lengths)
                if progress is not None:
                    progress("teacher", number + 1, num_batches)
        assert shape is not None
        np.save(work / "keys.npy", np.fromiter(lengths, dtype=np.uint64, count=len(lengths)))
        np.save(work / "offsets.npy", np.cumsum([0, *lengths.values()], dtype=np.int64))
        facts = {"task": teacher.task.to_facts(), "width": shape[0], "each_token": shape[1]}
        write_card(work, kind=KIND, parents={"teacher": weights_id(teacher)}, config=facts)
    return HeadCache(folder)


def _append(file: BinaryIO, batch: TaskBatch, logits: Tensor, keys: list[int], known: dict[int, int]) -> None:
    """Write the new rows, and the number of logits' rows of each."""
    lengths = batch.attention_mask.sum(dim=1).tolist()
    for key, length, row in zip(keys, lengths, logits, strict=True):
        if key not in known:
            kept = row[:length] if row.ndim == 2 else row[None]
            file.write(np.ascontiguousarray(kept.numpy(), dtype=np.float32).tobytes())
            known[key] = len(kept)


def _keys(batch: TaskBatch) -> list[int]:
    """The name of each row, from its tokens and their types, without padding."""
    ids, types = batch.input_ids.cpu().numpy(), batch.token_type_ids
    marks = None if types is None else types.cpu().numpy()
    keys = []
    for number, length in enumerate(batch.attention_mask.sum(dim=1).tolist()):
        content = hashlib.blake2b(ids[number, :length].tobytes(), digest_size=8)
        if marks is not None:
            content.update(marks[number, :length].tobytes())
        keys.append(int.from_bytes(content.digest(), "little"))
    return keys
