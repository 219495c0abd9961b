"""A model without a head on GLUE and SuperGLUE: finetuned by one fixed recipe a task, scored on the development set.

The recipe is `GlueRecipe`: at most 2,000 training rows, three epochs of batches of 16 and at least 200 steps, AdamW
with the rate rising and falling as in Devlin et al. (2019); a set of 32 rows is read many times, as few-sample
finetuning wants (Mosbach et al. 2021).  Nothing is tuned by task, and no score is chosen among seeds or epochs.

Predictions are kept, so a run that was killed goes on from the last checkpoint of its task and finished tasks are not
trained again.  A task without files is reported as missing.  Deliberately absent: the hidden test sets, and
intermediate training on MNLI.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from lavra.api.identity import model_files
from lavra.base.errors import TrainingError
from lavra.base.files import hash_file, hash_json, read_json, write_json, write_text
from lavra.base.ports import Progress
from lavra.base.predictions import ChooseRequest, Classification, ClassifyRequest, Prediction
from lavra.base.tasks import Problem
from lavra.evaluation.results import TaskResult
from lavra.runs.finetune import Prepared, prepare
from lavra.runs.glue.job import RECIPE_VERSION, GlueJob, GlueLearnt, GlueRecipe
from lavra.runs.glue.results import result_of, result_without_score
from lavra.runs.glue.rows import GlueFile, GlueRow, find_file
from lavra.runs.glue.scores import POSITIVE, GluePrediction
from lavra.runs.glue.tasks import GlueTask
from lavra.runs.run import Artifact, Run, carry_out
from lavra.tasks.choose import CHOOSE
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.predicting.classify import predict_choices, predict_classes

_FEW: Final = 100  # with fewer training rows a score shows little of the model
_PREDICTIONS: Final = "predictions.json"


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The files of a task that are here, and those that are not."""

    train: Path | None
    dev: Mapping[str, Path]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _NothingKept:
    """The folder of a run's checkpoints; the model itself is not saved."""

    scratch: Path

    def keep(self, artifact: Artifact) -> None:
        """Save nothing: only the predictions are needed."""

    def sweep(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def finetune_glue(
    base: Path, tasks: Sequence[GlueTask], data: Path, work: Path, recipe: GlueRecipe, progress: Progress
) -> tuple[TaskResult, ...]:
    """Finetune a model for each task and score it, in their order.

    Args:
        base: folder of the model; it is not changed.
        tasks: tasks of GLUE and SuperGLUE.
        data: folder that holds `glue/` and `superglue/`.
        work: folder where checkpoints and predictions are kept.
        recipe: the recipe of all tasks.
        progress: shows the training of each task.

    Raises:
        InputError: a file of a task cannot be read.
        ConfigError: the model takes no head.
    """
    model_hash = hash_json(model_files(base))
    return tuple(_result_of(task, base, model_hash, data, work, recipe, progress) for task in tasks)


def _result_of(
    task: GlueTask, base: Path, model_hash: str, data: Path, work: Path, recipe: GlueRecipe, progress: Progress
) -> TaskResult:
    files = _files(task, data)
    if files.train is None or files.missing:
        return result_without_score(task, f"not here: {', '.join(files.missing)}")
    data_hash = hash_json([hash_file(files.train), *(hash_file(path) for path in files.dev.values())])
    key = hash_json([RECIPE_VERSION, task.name, model_hash, data_hash, asdict(recipe)])
    train = task.read(files.train)
    dev = {name: task.read(path) for name, path in files.dev.items()}
    job = GlueJob(
        task=task,
        base=base,
        recipe=recipe,
        folder=work / f"{task.name}-{key[:16]}",
        train=_drawn(train.rows, recipe),
        dev={name: _limited(one.rows, recipe.limit) for name, one in dev.items()},
    )
    labels = {str(row.label) for row in job.train}
    if task.problem is Problem.SINGLE_LABEL and len(labels) < 2:
        return result_without_score(task, f"not learnt: all {len(job.train)} training rows are {labels.pop()!r}")
    try:
        learnt = _kept(job) or _learn(job, progress)
    except TrainingError as error:
        return result_without_score(task, f"not learnt: {error}")
    return result_of(job, learnt, data_hash, num_available=_count(dev), notes=_notes(job, files, train, dev))


# ---------------------------------------------------------------- rows


def _files(task: GlueTask, data: Path) -> _Files:
    def first(names: Sequence[str]) -> Path | None:
        return next((path for name in names if (path := find_file(data, name)) is not None), None)

    train, dev = first(task.train), {name: first(names) for name, names in task.dev.items()}
    missing = [task.train[0]] if train is None else []
    missing += [task.dev[name][0] for name, path in dev.items() if path is None]
    here = {name: path for name, path in dev.items() if path is not None}
    return _Files(train=train, dev=here, missing=tuple(missing))


def _drawn(rows: Sequence[GlueRow], recipe: GlueRecipe) -> list[GlueRow]:
    """The training rows, at most as many as the recipe allows, in the file's order."""
    if len(rows) <= recipe.most_rows:
        return list(rows)
    draw = np.random.Generator(np.random.Philox(recipe.seed))
    return [rows[place] for place in np.sort(draw.permutation(len(rows))[: recipe.most_rows])]


def _limited(rows: Sequence[GlueRow], limit: int | None) -> list[GlueRow]:
    """The first questions of a set, with all their rows."""
    return [row for row in rows if limit is None or row.group < limit]


def _count(dev: Mapping[str, GlueFile]) -> int:
    """Questions of all development sets."""
    return sum(len({row.group for row in one.rows}) for one in dev.values())


def _as_sample(row: GlueRow) -> dict[str, Any]:
    if row.choices:
        return {"text": row.text, "choices": list(row.choices), "answer": row.label}
    return {"text": row.text, "label": row.label, **({} if row.pair is None else {"pair": row.pair})}


# ---------------------------------------------------------------- learning


def _kept(job: GlueJob) -> GlueLearnt | None:
    """The predictions of an earlier run with the same model, data and recipe."""
    path = job.folder / _PREDICTIONS
    if not path.exists():
        return None
    plain = read_json(path)
    said = {name: tuple(GluePrediction(**one) for one in rows) for name, rows in plain["said"].items()}
    return GlueLearnt(**{**plain, "said": said, "reused": True})


def _learn(job: GlueJob, progress: Progress) -> GlueLearnt:
    """Train, predict every development set, and keep the predictions."""
    start = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", job.train), ("dev", next(iter(job.dev.values())))):
        lines = [json.dumps(_as_sample(row), ensure_ascii=False) + "\n" for row in rows]
        write_text(job.folder / f"{name}.jsonl", "".join(lines))
    prepared = prepare(_config(job), job.base)
    run: Run[None, GlueLearnt] = Run(
        recipe=prepared.recipe,
        training_task=prepared.training_task,
        train=prepared.train,
        before=lambda: None,
        after=lambda: _predict(job, prepared),
        artifact=lambda _: Artifact(kind="model", write=lambda _: None),
        part=f"finetune for {job.task.title}",
    )
    learnt = carry_out(run, _NothingKept(job.folder / "training"), progress).after
    learnt = replace(learnt, seconds=round(time.monotonic() - start, 3))
    write_json(job.folder / _PREDICTIONS, asdict(learnt))
    return learnt


def _config(job: GlueJob) -> FinetuneConfig:
    chooses = job.task.problem is None
    pair = ("pair=pair",) if job.train[0].pair is not None else ()
    return FinetuneConfig(
        task=CHOOSE if chooses else CLASSIFY,
        data=job.folder / "train.jsonl",
        heldout=job.folder / "dev.jsonl",
        columns=() if chooses else ("text=text", *pair, "label=label"),
        problem=job.task.problem,
        steps=job.recipe.steps(len(job.train)),
        batch_size=job.recipe.batch_size,
        learning_rate=job.recipe.learning_rate,
        seed=job.recipe.seed,
    )


def _predict(job: GlueJob, prepared: Prepared) -> GlueLearnt:
    assert isinstance(prepared.recipe, HeadedRecipe)
    headed = prepared.recipe.headed
    said, num_tokens, num_cut = {}, 0, 0
    for name, rows in job.dev.items():
        found: list[Prediction[Classification]]
        if job.task.problem is None:
            asked = [ChooseRequest(text=row.text, choices=row.choices, truncate=True) for row in rows]
            found = predict_choices(headed, asked)
        else:
            texts = [row.text if row.pair is None else (row.text, row.pair) for row in rows]
            found = predict_classes(headed, [ClassifyRequest(text=text, truncate=True) for text in texts])
        said[name] = tuple(_prediction(job.task, one.value) for one in found)
        num_tokens += sum(one.num_tokens for one in found)
        num_cut += sum(one.value.truncated for one in found)
    return GlueLearnt(said=said, majority=prepared.majority, num_tokens=num_tokens, num_cut=num_cut)


def _prediction(task: GlueTask, found: Classification) -> GluePrediction:
    if task.problem is Problem.REGRESSION:
        assert found.value is not None
        return GluePrediction(label=found.value)
    label = int(found.label) if task.problem is None else found.label
    return GluePrediction(label=label, positive=found.scores.get(POSITIVE, 0.0))


def _notes(job: GlueJob, files: _Files, train: GlueFile, dev: Mapping[str, GlueFile]) -> tuple[str, ...]:
    """The notes for readers of the score."""
    said = []
    if len(train.rows) > len(job.train):
        said.append(f"learnt from {len(job.train):,} of {len(train.rows):,} training rows")
    if (few := min(len(job.train), train.num_lines)) < _FEW:
        said.append(f"learnt from {few} samples: a few-shot score, not the benchmark's")
    for name, path in files.dev.items():
        if path.name.removesuffix(".gz") != Path(job.task.dev[name][0]).name:
            said.append(f"{job.task.dev[name][0]} is not here; scored on {path.name}")
        elif path.parent.name != Path(job.task.dev[name][0]).parent.name:
            said.append(f"scored on {path.parent.name}, a part of the benchmark's rows")
    broken = train.num_broken + sum(one.num_broken for one in dev.values())
    if broken:
        said.append(f"{broken:,} lines without text or label were left out")
    return tuple(said)
