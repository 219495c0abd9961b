"""What each side of a finetuning comparison is asked to do, and rows as plain arrays.

Nothing of either side is imported here: the peer's process reads its job and its rows with NumPy alone, and meets
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
    """What lavra is to train.

    Attributes:
        task: name of a `labelled_tasks` one.
        seed: of head, adapter, order and dropout.
        data: folder with the task's files; empty in the settings that a result is kept with, as are other folders.
        base: folder of the model to start from.
        method: what of it is trained, in lavra's words; empty is the task's own.
        steps: instead of the task's.
        batch_size: likewise.
        rank: of LoRA and DoRA.
        bottleneck: channels of a Houlsby or Pfeiffer adapter.
        learning_rate: instead of the method's usual one.
        bf16: train in bf16 autocast.
        device: `cpu` or `cuda`; what lavra picks there by itself.
        save: folder to write the trained model to; empty writes none.
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
        """What a result depends on, wherever the files were."""
        return {**asdict(self), "data": "", "base": Path(self.base).name, "save": ""}


@dataclass(frozen=True, kw_only=True)
class PeerJob:
    """What the Trainer is to train.

    Attributes:
        model: folder with the same initial weights, head included.
        adapter: folder with the same initial adapter; empty trains the whole model.
        auto: name of the transformers class that opens the model.
        labels: what the model's labels are called: `labels`, `span` (first and last), `next` (already shifted) or
            `written` (by the decoder of an encoder-decoder).
        rows: file of the training rows, their order and the rate of each step.
        heldout: file of the rows to measure on.
        out: file to write their logits to.
        folder: for what the Trainer writes.
        pad: id that fills rows.
        learning_rate: its peak.
        weight_decay: of matrices.
        beta1: decay of AdamW's first moment.
        beta2: of its second.
        eps: AdamW's guard against division by zero.
        clip_norm: the gradient's norm is clipped to this.
        seed: of dropout.
        bf16: train in bf16 autocast.
        device: `cpu` or `cuda`.
        compile: the Trainer's `torch_compile`.
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
    """Lists of arrays that differ in their first axis, as one file."""
    stored = {}
    for name, arrays in columns.items():
        stored[f"{name}.values"] = np.concatenate(arrays)
        stored[f"{name}.lengths"] = np.array([len(one) for one in arrays], dtype=np.int64)
    np.savez(path, **stored)  # type: ignore[arg-type]


def load_ragged(path: Path) -> dict[str, list[npt.NDArray[Any]]]:
    """What `save_ragged` wrote."""
    with np.load(path) as stored:
        names = [name.removesuffix(".lengths") for name in stored.files if name.endswith(".lengths")]
        return {name: np.split(stored[f"{name}.values"], np.cumsum(stored[f"{name}.lengths"])[:-1]) for name in names}
