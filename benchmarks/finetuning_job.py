"""Jobs of both sides of a finetuning comparison, and rows as plain arrays.

This module imports nothing of either side: the peer's process reads its job and its rows with NumPy alone, and imports
neither lavra nor a tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """A training job of lavra.

    Attributes:
        task: name of a task in `labelled_tasks`.
        seed: seed of head, adapter, order and dropout.
        data: folder with the task's files; empty in the settings of a kept result, as all folders are.
        base: folder of the model to start from.
        method: lavra's name of the training method; empty takes the task's own.
        steps: steps instead of the task's number.
        batch_size: batch size instead of the task's.
        rank: rank of LoRA and DoRA.
        bottleneck: channels of a Houlsby or Pfeiffer adapter.
        learning_rate: learning rate instead of the method's usual one.
        bf16: whether to train in bf16 autocast.
        device: `cpu` or `cuda`; lavra chooses the rest by itself there.
        save: folder for the trained model; empty writes none.
    """

    task: str
    seed: int
    data: str
    base: str
    method: str = ""
    steps: int | None = None
    batch_size: int | None = None
    rank: int = 8
    bottleneck: int = 64
    learning_rate: float | None = None
    bf16: bool = False
    device: str = "cpu"
    save: str = ""

    def settings(self) -> dict[str, Any]:
        """Settings that a result depends on; folders are left out."""
        return {**asdict(self), "data": "", "base": Path(self.base).name, "save": ""}


@dataclass(frozen=True, kw_only=True)
class PeerJob:
    """A training job of the Trainer.

    Attributes:
        model: folder with the same initial weights, head included.
        adapter: folder with the same initial adapter; empty trains the whole model.
        auto: name of the transformers class that loads the model.
        labels: name of the model's labels: `labels`, `span` (first and last), `next` (already shifted) or `written` (of
            an encoder-decoder's decoder).
        rows: file of the training rows, their order and the rate of each step.
        heldout: file of the held-out rows.
        out: file for their logits.
        folder: folder for the Trainer's files.
        pad: token id of padding.
        learning_rate: peak learning rate.
        weight_decay: weight decay of matrices.
        beta1: decay of AdamW's first moment.
        beta2: decay of AdamW's second moment.
        eps: AdamW's epsilon.
        clip_norm: greatest norm of the gradient.
        seed: seed of dropout.
        bf16: whether to train in bf16 autocast.
        device: `cpu` or `cuda`.
        compile: whether the Trainer compiles (`torch_compile`).
    """

    model: str
    adapter: str
    auto: str
    labels: str
    rows: str
    heldout: str
    out: str
    folder: str
    pad: int
    learning_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    eps: float
    clip_norm: float
    seed: int
    bf16: bool
    device: str
    compile: bool


def save_ragged(path: Path, columns: Mapping[str, Arrays]) -> None:
    """Save lists of arrays that differ in their first axis as one file."""
    stored = {}
    for name, arrays in columns.items():
        stored[f"{name}.values"] = np.concatenate(arrays)
        stored[f"{name}.lengths"] = np.array([len(one) for one in arrays], dtype=np.int64)
    np.savez(path, **stored)  # type: ignore[arg-type]


def load_ragged(path: Path) -> dict[str, list[npt.NDArray[Any]]]:
    """Lists of arrays from a file of `save_ragged`."""
    with np.load(path) as stored:
        names = [name.removesuffix(".lengths") for name in stored.files if name.endswith(".lengths")]
        return {name: np.split(stored[f"{name}.values"], np.cumsum(stored[f"{name}.lengths"])[:-1]) for name in names}
