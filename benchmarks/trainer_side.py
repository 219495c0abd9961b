"""The peer's side of a speed comparison: the Hugging Face Trainer, with nothing but training.

No logging, saving, evaluation, progress bar or column checks; no key-value cache; data ready in memory before the
clock starts; targets shifted beforehand, so that no token of a row is lost and no copy is needed.  The
optimizer is the one the Trainer makes itself (fused AdamW, the same two decay groups as ours).  Rows are plain causal
ones: no document masks, the same positions in every row.
"""

from __future__ import annotations

from typing import Any

import torch
from jobs import TrainerJob
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils.logging import disable_progress_bar
from turns import Turns

from lavra.train.schedule import learning_rate_scale


class _Rows(Dataset[dict[str, Tensor]]):
    """Rows in memory."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self._inputs, self._labels = inputs, labels

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        labels = self._labels[index]
        # `labels` asks for a loss; `shift_labels` are the targets it is computed from.
        return {"input_ids": self._inputs[index], "labels": labels, "shift_labels": labels}


class _Trainer(Trainer):
    """The Trainer with our schedule's formula, because its own warm-up starts at 0 and one step later."""

    def __init__(self, job: TrainerJob, **settings: Any) -> None:
        super().__init__(**settings)
        self._job = job

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """A learning rate for each step from the job's schedule."""
        job, chosen = self._job, optimizer or self.optimizer
        assert chosen is not None
        self.lr_scheduler = LambdaLR(chosen, lambda step: learning_rate_scale(job.schedule, step, job.num_steps))
        return self.lr_scheduler


class _Clock(TrainerCallback):
    """A callback that takes turns with the other programs after each step."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Note a finished step."""
        self._turns.step_done()


def train_job(job: TrainerJob, turns: Turns) -> None:
    """Train and save."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32, attn_implementation=job.attention)
    model.config.use_cache = False
    steps = job.stop_after or job.num_steps
    dataset = _Rows(*job.rows.plain(steps))
    trainer = _Trainer(
        job,
        model=model,
        args=_arguments(job, steps),
        train_dataset=dataset,
        data_collator=_stack,
        callbacks=[_Clock(turns)],
    )
    trainer.remove_callback(PrinterCallback)
    turns.start()
    trainer.train()
    model.save_pretrained(job.out)


def _arguments(job: TrainerJob, steps: int) -> TrainingArguments:
    optimizer = job.optimizer
    return TrainingArguments(
        output_dir=str(job.out),
        max_steps=steps,
        per_device_train_batch_size=job.rows.batch_size,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        adam_epsilon=optimizer.eps,
        max_grad_norm=job.clip_norm,
        optim="adamw_torch_fused",
        bf16=job.bf16,
        torch_compile=job.compile,
        use_cpu=True,
        train_sampling_strategy="sequential",
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        skip_memory_metrics=True,
        seed=0,
    )


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
