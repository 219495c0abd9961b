"""Our side of a finetuning comparison, what the peer is given of it, and the one code that scores both.

`lavra.runs` does what `lavra finetune` does; its rows, their order, the rate of each step and the
initial weights (head and adapter included) are written down for the peer.  Either side ends in the logits of the
held-out rows, by its own forward pass; scores are made of these here, entities by seqeval.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from finetuning_job import Arrays, FinetuneJob, PeerJob, save_ragged
from labelled_tasks import HELDOUT, TASKS, TRAIN, DataError
from measured_runs import Meter

from lavra.adapt.peft_write import save_adapter
from lavra.base.tasks import Task
from lavra.data.rows.batches import RowBatches, TaskRows, inference_batches
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.passages import unlabelled_question_rows
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.data.rows.words import TagConfig, unlabelled_tag_rows
from lavra.model.transformer import EncoderDecoder
from lavra.runs.finetune import ADAPTER, Prepared, prepare
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.settings import FinetuneConfig, Method
from lavra.tasks.learning.writing import WritingRecipe
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.predicting.tag import tag_samples
from lavra.tasks.scoring.heads import score_task
from lavra.train import CallbackHook, sequence_to_sequence_loss, token_loss, train
from lavra.train.schedule import learning_rate_scale

AUTO = {
    Task.CLASSIFY: "AutoModelForSequenceClassification",
    Task.NER: "AutoModelForTokenClassification",
    Task.QA: "AutoModelForQuestionAnswering",
    Task.TEXT2TEXT: "AutoModelForCausalLM",
}
LABELS = {Task.CLASSIFY: "class", Task.NER: "tokens", Task.QA: "span", Task.TEXT2TEXT: "next"}


class Replayed(HeadedModel):
    """A model whose logits are known: what is made of them is the same code for both sides."""

    def __init__(self, headed: HeadedModel, logits: Sequence[npt.NDArray[np.float32]]) -> None:
        super().__init__(headed.model, headed.tokenizer, max_tokens=headed.max_tokens, virtual=headed.virtual)
        self._logits = list(logits)

    def logits(self, rows: TaskRows) -> list[npt.NDArray[np.float32]]:
        """Those that are known, if they are of these rows."""
        lengths = [len(ids) for ids in rows.encoded.ids]
        if len(self._logits) != len(lengths):
            raise DataError(f"{len(self._logits)} logits are known and {len(lengths)} rows are asked about")
        return self._logits


def ready(job: FinetuneJob) -> Prepared:
    """The run as `lavra finetune` makes it ready."""
    task = TASKS[job.task]
    method = Method(job.method or task.method)
    config = FinetuneConfig(
        task=task.task,
        data=Path(job.data) / f"{TRAIN}.jsonl",
        heldout=Path(job.data) / f"{HELDOUT}.jsonl",
        columns=task.columns,
        problem=task.problem,
        method=method,
        epochs=task.epochs,
        steps=job.steps or task.steps,
        batch_size=job.batch_size or task.batch_size,
        max_tokens=task.max_tokens,
        learning_rate=job.learning_rate,
        rank=job.rank,
        bottleneck=job.bottleneck,
        precision="bf16" if job.bf16 else "float32",
        seed=job.seed,
    )
    return prepare(config, Path(job.base))


def train_job(settings: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Train and score."""
    job = FinetuneJob(**settings)
    prepared = ready(job)

    def step_done(_: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            meter.step_done()

    model = prepared.recipe.module()
    with meter.training(job.device):
        train(model, prepared.lesson.objective, prepared.train, hooks=[CallbackHook(step_done)])
    model.eval()
    if job.save:
        prepared.recipe.save(Path(job.save))
        prepared.tokenizer.save(Path(job.save))
    return {
        "scores": scored(prepared, own_logits(prepared)),
        "majority": prepared.majority,
        "trainable": prepared.parameters.trainable,
        "parameters": prepared.parameters.total,
        "steps": prepared.train.num_steps,
        "troubles": len(prepared.lesson.troubles),
    }


def heldout_rows(prepared: Prepared) -> TaskRows | LanguageRows:
    """The rows both sides are measured on."""
    recipe, held, task = prepared.recipe, prepared.data.heldout, prepared.config.task
    if isinstance(recipe, WritingRecipe):
        return recipe.rows(held, packed=False)  # as those the model learnt from, without sharing rows
    assert isinstance(recipe, HeadedRecipe)
    form = recipe.headed.form(truncate=True)
    if task is Task.NER:
        return unlabelled_tag_rows(_any(held), form, config=TagConfig())
    return unlabelled_question_rows(_any(held), form) if task is Task.QA else unlabelled_text_rows(_any(held), form)


def own_logits(prepared: Prepared) -> Arrays:
    """Our logits of the held-out rows; nats of rows that are written."""
    recipe, rows = prepared.recipe, heldout_rows(prepared)
    if isinstance(recipe, HeadedRecipe):
        assert isinstance(rows, TaskRows)
        recipe.headed.virtual = recipe.virtual
        return recipe.headed.logits(rows)
    assert isinstance(rows, LanguageRows)
    with torch.inference_mode():
        model = recipe.module()
        device = next(model.parameters()).device
        loss = sequence_to_sequence_loss if isinstance(model, EncoderDecoder) else token_loss
        batches = (batch.to(device) for _, batch in inference_batches(rows, 32))
        return [loss(model, batch).reshape(1).cpu().numpy() for batch in batches]


def scored(prepared: Prepared, logits: Arrays) -> dict[str, float]:
    """What logits of the held-out rows are worth, whoever made them."""
    recipe = prepared.recipe
    if isinstance(recipe, WritingRecipe):
        rows = heldout_rows(prepared)
        assert isinstance(rows, LanguageRows)
        return {"nats_per_token": float(sum(float(one.sum()) for one in logits)) / rows.num_targets}
    assert isinstance(recipe, HeadedRecipe)
    if prepared.config.task is Task.CLASSIFY:
        logits = [one.reshape(-1) for one in logits]
    model = Replayed(recipe.headed, logits)
    values = dict(score_task(model, prepared.data.heldout).values)
    if prepared.config.task is Task.NER:
        known = _any(prepared.data.heldout)
        found = [[name for name, _ in sentence] for sentence in tag_samples(model, known)]
        seqeval = importlib.import_module("seqeval.metrics")  # after training: what it loads is no part of our memory
        values["f1"] = float(seqeval.f1_score([list(sample.tags) for sample in known], found))
    return values


def export(prepared: Prepared, folder: Path, *, device: str, compile_it: bool) -> PeerJob:
    """The same start, rows, order and rates for the peer, written to a folder."""
    config, recipe, settings = prepared.config, prepared.recipe, prepared.train
    model, adapter = folder / "start", folder / "adapter"
    if config.method is Method.FULL:
        recipe.save(model)
    elif isinstance(recipe, WritingRecipe):
        model = prepared.base
        save_adapter(recipe.module(), ADAPTER, adapter, base=str(prepared.base))
    else:
        raise DataError(f"the peer trains {config.method.value} of models that write only")
    columns, order = _training_rows(prepared)
    scales = [learning_rate_scale(settings.schedule, step, settings.num_steps) for step in range(settings.num_steps)]
    save_ragged(folder / "rows.npz", {**columns, "order": order, "scales": [np.array(scales)]})
    held = heldout_rows(prepared)
    save_ragged(folder / "heldout.npz", _columns(held, learnt=isinstance(held, LanguageRows)))
    optimizer, form = settings.optimizer, held.form
    writes_apart = isinstance(recipe.module(), EncoderDecoder)
    return PeerJob(
        model=str(model),
        adapter="" if config.method is Method.FULL else str(adapter),
        auto="AutoModelForSeq2SeqLM" if writes_apart else AUTO[config.task],
        labels="written" if writes_apart else LABELS[config.task],
        rows=str(folder / "rows.npz"),
        heldout=str(folder / "heldout.npz"),
        out=str(folder / "logits.npz"),
        folder=str(folder / "trainer"),
        pad=form.pad_id,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        beta1=optimizer.beta1,
        beta2=optimizer.beta2,
        eps=optimizer.eps,
        clip_norm=settings.clip_norm,
        seed=config.seed,
        bf16=config.precision == "bf16",
        device=device,
        compile=compile_it,
    )


def peer_settings(job: PeerJob) -> dict[str, Any]:
    """The job as the peer's process reads it."""
    return asdict(job)


def _training_rows(prepared: Prepared) -> tuple[dict[str, Arrays], Arrays]:
    """Rows by column, and which of them each step holds."""
    batches: Any = prepared.lesson.objective.batches
    assert isinstance(batches, RowBatches)
    table: Any = batches.table
    steps = [np.asarray(batches.order.samples(step)) for step in range(prepared.train.num_steps)]
    if isinstance(table, LanguageRows):  # several texts share a row with us, and have one each with the peer
        steps = [np.concatenate([np.array(table.rows[row]) for row in step]) for step in steps]
    return _columns(table, learnt=True), steps


def _columns(table: TaskRows | LanguageRows, *, learnt: bool) -> dict[str, Arrays]:
    if isinstance(table, LanguageRows):
        return {"ids": table.sequences.inputs, "labels": table.sequences.labels}
    columns: dict[str, Arrays] = {"ids": table.encoded.ids}
    if table.encoded.types is not None:
        columns["types"] = table.encoded.types
    if learnt and table.token_targets is not None:
        columns["labels"] = table.token_targets
    elif learnt and table.targets is not None:
        columns["labels"] = [np.atleast_1d(target) for target in table.targets]
    return columns


def _any(samples: Sequence[Any]) -> list[Any]:
    return list(samples)
