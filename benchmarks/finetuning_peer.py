"""The peer's side of a finetuning comparison: the Hugging Face Trainer, with peft where an adapter is trained.

The clock covers nothing but training: rows are tokenised, in memory and in order before it starts; no
logging, saving, evaluation, progress bar or worker processes.  The order is lavra's, replayed step by step (like
lengths together, padded to the longest), and so is the rate of each step; the optimizer is the Trainer's fused AdamW.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from finetuning_job import Arrays, PeerJob, load_ragged, save_ragged
from measured_runs import Meter
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

IGNORE = -100
HELDOUT_BATCH = 32

Inputs = dict[str, Tensor]


class Rows:
    """Rows of token ids, and the labels of each row."""

    def __init__(self, columns: Mapping[str, Arrays], labels: str, pad: int) -> None:
        self._columns, self.kind, self._pad = columns, labels, pad

    def __len__(self) -> int:
        return len(self._columns["ids"])

    def lengths(self) -> list[int]:
        """Number of tokens of each row."""
        return [len(row) for row in self._columns["ids"]]

    def batch(self, numbers: list[int]) -> Inputs:
        """A batch of some rows, padded to the longest; keys are the arguments of a model's `forward`."""
        ids = self._chosen("ids", numbers)
        mask = [np.ones_like(row) for row in ids]
        made = {"input_ids": padded(ids, self._pad), "attention_mask": padded(mask, 0)}
        if "types" in self._columns:
            made["token_type_ids"] = padded(self._chosen("types", numbers), 0)
        if "labels" in self._columns:
            made |= self._labels(self._chosen("labels", numbers))
        return made

    def _chosen(self, name: str, numbers: list[int]) -> Arrays:
        column = self._columns[name]
        return [column[number] for number in numbers]

    def _labels(self, chosen: Arrays) -> Inputs:
        if self.kind == "span":
            first, last = torch.from_numpy(np.stack(chosen)).unbind(dim=1)
            return {"start_positions": first, "end_positions": last}
        if self.kind == "class":
            return {"labels": torch.from_numpy(np.concatenate(chosen))}
        labels = padded(chosen, IGNORE)
        return {"labels": labels, "shift_labels": labels} if self.kind == "next" else {"labels": labels}


class Steps(Dataset[Inputs]):
    """The batch of each step, made when the Trainer reads it."""

    def __init__(self, rows: Rows, order: Arrays) -> None:
        self._rows, self._order = rows, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, step: int) -> Inputs:
        return self._rows.batch(self._order[step].tolist())


class _Trainer(Trainer):
    """The Trainer with a given learning rate for each step."""

    def __init__(self, scales: np.ndarray[Any, Any], **settings: Any) -> None:
        super().__init__(**settings)
        self._scales = scales

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The peak rate times the step's share of it."""
        chosen = optimizer or self.optimizer
        assert chosen is not None
        last = len(self._scales) - 1
        self.lr_scheduler = LambdaLR(chosen, lambda step: float(self._scales[min(step, last)]))
        return self.lr_scheduler


class _Clock(TrainerCallback):
    """A callback that reports each step to the meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Report a finished step."""
        self._meter.step_done()


def train_job(settings: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Train, and write the logits of the held-out rows."""
    job = PeerJob(**settings)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.manual_seed(job.seed)
    model = _model(job)
    stored = load_ragged(Path(job.rows))
    order, scales = stored.pop("order"), stored.pop("scales")[0]
    trainer = _Trainer(
        scales,
        model=model,
        args=_arguments(job, len(order)),
        train_dataset=Steps(Rows(stored, job.labels, job.pad), order),
        data_collator=lambda steps: steps[0],
        callbacks=[_Clock(meter)],
    )
    trainer.remove_callback(PrinterCallback)
    with meter.training(job.device):
        trainer.train()
    # Measured in float32, as ours: without the autocast of training.
    model = trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    heldout = Rows(load_ragged(Path(job.heldout)), job.labels, job.pad)
    save_ragged(Path(job.out), {"logits": logits(model, heldout)})
    trainable = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return {"trainable": trainable, "parameters": sum(one.numel() for one in model.parameters()), "steps": len(order)}


def _model(job: PeerJob) -> Any:
    opened = getattr(transformers, job.auto).from_pretrained(job.model, dtype=torch.float32)
    opened.config.use_cache = False
    return PeftModel.from_pretrained(opened, job.adapter, is_trainable=True) if job.adapter else opened


def _arguments(job: PeerJob, steps: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=job.folder,
        max_steps=steps,
        per_device_train_batch_size=1,  # an item of the data set is a whole batch
        learning_rate=job.learning_rate,
        weight_decay=job.weight_decay,
        adam_beta1=job.beta1,
        adam_beta2=job.beta2,
        adam_epsilon=job.eps,
        max_grad_norm=job.clip_norm,
        optim="adamw_torch_fused",
        bf16=job.bf16,
        torch_compile=job.compile,
        use_cpu=job.device == "cpu",
        train_sampling_strategy="sequential",
        dataloader_num_workers=0,
        dataloader_pin_memory=job.device != "cpu",
        remove_unused_columns=False,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        skip_memory_metrics=True,
        seed=job.seed,
    )


@torch.inference_mode()
def logits(model: Any, rows: Rows) -> Arrays:
    """Logits of each row: (1, N) of a text, (T, N) of its tokens; (1,) nats of the target where a row is written."""
    model.eval()
    found: list[Any] = [None] * len(rows)
    for numbers in _by_length(rows.lengths()):
        inputs = {name: one.to(model.device) for name, one in rows.batch(numbers).items()}
        targets = inputs.pop("shift_labels", None)
        labels = inputs.pop("labels", None)
        if rows.kind == "written" and labels is not None:  # the input of a T5's decoder is made from the labels
            inputs["labels"] = targets = labels
        made = model(**inputs)
        for place, number in enumerate(numbers):
            length = int(inputs["attention_mask"][place].sum())
            found[number] = _of_row(made, place, length, None if targets is None else targets[place])
    return found


def _of_row(made: Any, place: int, length: int, target: Tensor | None) -> Any:
    if target is not None:
        nats = functional.cross_entropy(made.logits[place].float(), target, ignore_index=IGNORE, reduction="sum")
        return nats.reshape(1).cpu().numpy()
    if "start_logits" in made:
        return torch.stack([made.start_logits[place, :length], made.end_logits[place, :length]], dim=1).cpu().numpy()
    out = made.logits[place].cpu()
    return out[None].numpy() if out.ndim == 1 else out[:length].numpy()


def _by_length(lengths: list[int]) -> Iterator[list[int]]:
    order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    for start in range(0, len(order), HELDOUT_BATCH):
        yield order[start : start + HELDOUT_BATCH]


def padded(rows: Arrays, fill: int) -> Tensor:
    """(B, T) int64, padded on the right."""
    made = np.full((len(rows), max(len(row) for row in rows)), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        made[place, : len(row)] = row
    return torch.from_numpy(made)
