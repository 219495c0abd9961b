"""Our side of a finetuning comparison, the files for the peer, and the scores of both sides.

`lavra.runs` trains as `lavra finetune` does.  Its rows, their order, the rate of each step and the initial weights
(head and adapter included) are written to files for the peer.  Each side computes the logits of the held-out rows by
its own forward pass.  The same code here turns the logits of both sides into scores; seqeval scores entities.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from finetuning_job import Arrays, FinetuneJob, PeerJob, save_ragged
from labelled_tasks import HELDOUT, TASKS, TRAIN, DataError
from measured_runs import Meter

from lavra.adapt.config import AdapterConfig
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.table import method_starts, method_word
from lavra.adapt.peft_write import save_adapter
from lavra.data.rows.batches import RowBatches, TaskRows, inference_batches
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.passages import unlabelled_question_rows
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.data.rows.words import TagConfig, unlabelled_tag_rows
from lavra.model.transformer import EncoderDecoder
from lavra.runs.finetune import ADAPTER, Prepared, prepare
from lavra.tasks.answer import ANSWER
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.learning.writing import WritingRecipe
from lavra.tasks.predicting.tag import tag_samples
from lavra.tasks.predicting.torch_headed import TorchHeadedModel
from lavra.tasks.rewrite import REWRITE
from lavra.tasks.scoring.heads import score_task
from lavra.tasks.tag import TAG
from lavra.train.hooks import CallbackHook
from lavra.train.loop import train
from lavra.train.objective import sequence_to_sequence_loss, token_loss
from lavra.train.schedule import learning_rate_scale

AUTO = {
    CLASSIFY: "AutoModelForSequenceClassification",
    TAG: "AutoModelForTokenClassification",
    ANSWER: "AutoModelForQuestionAnswering",
    REWRITE: "AutoModelForCausalLM",
}
LABELS = {CLASSIFY: "class", TAG: "tokens", ANSWER: "span", REWRITE: "next"}


class Replayed(TorchHeadedModel):
    """A model that returns known logits, so that the same code computes both sides' scores."""

    def __init__(self, headed: TorchHeadedModel, logits: Sequence[npt.NDArray[np.float32]]) -> None:
        super().__init__(headed.model, headed.tokenizer, max_tokens=headed.max_tokens, virtual=headed.virtual)
        self._logits = list(logits)

    def logits(self, rows: TaskRows) -> list[npt.NDArray[np.float32]]:
        """The known logits; they must be of these rows."""
        lengths = [len(ids) for ids in rows.encoded.ids]
        if len(self._logits) != len(lengths):
            raise DataError(f"{len(self._logits)} logits are known and {len(lengths)} rows are asked about")
        return self._logits


def ready(job: FinetuneJob) -> Prepared:
    """Prepare the run as `lavra finetune` does."""
    task = TASKS[job.task]
    config = FinetuneConfig(
        task=task.task,
        data=Path(job.data) / f"{TRAIN}.jsonl",
        heldout=Path(job.data) / f"{HELDOUT}.jsonl",
        columns=task.columns,
        problem=task.problem,
        method=_method(job.method or task.method, job),
        epochs=task.epochs,
        steps=job.steps or task.steps,
        batch_size=job.batch_size or task.batch_size,
        max_tokens=task.max_tokens,
        learning_rate=job.learning_rate,
        precision="bf16" if job.bf16 else "float32",
        seed=job.seed,
    )
    return prepare(config, Path(job.base))


def _method(word: str, job: FinetuneJob) -> AdapterConfig | None:
    start = method_starts()[word]
    if isinstance(start, LoraConfig):
        return replace(start, rank=job.rank)
    return replace(start, size=job.bottleneck) if isinstance(start, BottleneckConfig) else start


def train_job(settings: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Train and score."""
    job = FinetuneJob(**settings)
    prepared = ready(job)

    def step_done(_: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            meter.step_done()

    model = prepared.recipe.module()
    with meter.training(job.device):
        train(model, prepared.training_task.objective, prepared.train, hooks=[CallbackHook(step_done)])
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
        "troubles": len(prepared.training_task.issues),
    }


def heldout_rows(prepared: Prepared) -> TaskRows | LanguageRows:
    """Held-out rows that both sides are measured on."""
    recipe, held, task = prepared.recipe, prepared.data.heldout, prepared.config.task
    if isinstance(recipe, WritingRecipe):
        return recipe.rows(held, packed=False)  # as the training rows, but not packed
    assert isinstance(recipe, HeadedRecipe)
    form = recipe.headed.form(truncate=True)
    if task is TAG:
        return unlabelled_tag_rows(_any(held), form, config=TagConfig())
    return unlabelled_question_rows(_any(held), form) if task is ANSWER else unlabelled_text_rows(_any(held), form)


def own_logits(prepared: Prepared) -> Arrays:
    """Our logits of the held-out rows; for rows that are written, their nats."""
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
    """Scores from logits of the held-out rows, of either side."""
    recipe = prepared.recipe
    if isinstance(recipe, WritingRecipe):
        rows = heldout_rows(prepared)
        assert isinstance(rows, LanguageRows)
        return {"nats_per_token": float(sum(float(one.sum()) for one in logits)) / rows.num_targets}
    assert isinstance(recipe, HeadedRecipe)
    if prepared.config.task is CLASSIFY:
        logits = [one.reshape(-1) for one in logits]
    model = Replayed(recipe.headed, logits)
    values = dict(score_task(model, prepared.data.heldout).values)
    if prepared.config.task is TAG:
        known = _any(prepared.data.heldout)
        found = [[name for name, _ in sentence] for sentence in tag_samples(model, known)]
        seqeval = importlib.import_module("seqeval.metrics")  # after training: its modules do not count in our memory
        values["f1"] = float(seqeval.f1_score([list(sample.tags) for sample in known], found))
    return values


def export(prepared: Prepared, folder: Path, *, device: str, compile_it: bool) -> PeerJob:
    """Write the same start, rows, order and rates for the peer to a folder."""
    config, recipe, settings = prepared.config, prepared.recipe, prepared.train
    model, adapter = folder / "start", folder / "adapter"
    if config.method is None:
        recipe.save(model)
    elif isinstance(recipe, WritingRecipe):
        model = prepared.base
        save_adapter(recipe.module(), ADAPTER, adapter, base=str(prepared.base))
    else:
        raise DataError(f"the peer trains {method_word(config.method)} of models that write only")
    columns, order = _training_rows(prepared)
    scales = [learning_rate_scale(settings.schedule, step, settings.num_steps) for step in range(settings.num_steps)]
    save_ragged(folder / "rows.npz", {**columns, "order": order, "scales": [np.array(scales)]})
    held = heldout_rows(prepared)
    save_ragged(folder / "heldout.npz", _columns(held, learnt=isinstance(held, LanguageRows)))
    optimizer, form = settings.optimizer, held.form
    writes_apart = isinstance(recipe.module(), EncoderDecoder)
    return PeerJob(
        model=str(model),
        adapter="" if config.method is None else str(adapter),
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
    """The job as JSON for the peer's process."""
    return asdict(job)


def _training_rows(prepared: Prepared) -> tuple[dict[str, Arrays], Arrays]:
    """Rows by column, and the numbers of the rows in each step."""
    batches: Any = prepared.training_task.objective.batches
    assert isinstance(batches, RowBatches)
    table: Any = batches.table
    steps = [np.asarray(batches.order.samples(step)) for step in range(prepared.train.num_steps)]
    if isinstance(table, LanguageRows):  # lavra packs several texts into a row; the peer has a row for each text
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
