"""Distillation: a student with half the layers, trained with the teacher's logits or on the labels alone.

A real encoder (MiniLM, 6 layers) is finetuned and becomes the teacher; the student starts from three of its layers.
Three students are trained for each seed, with the same data, steps and rate: with the teacher's logits and the labels;
on the labels alone (`lavra distill --baseline 1`); and on the labels alone from the same layers of the encoder before
finetuning, so without any influence of the teacher (`--baseline-from`).  The teacher's gain counts from a baseline that
always answers the most frequent label.  Two figures count, the share of this gain that the student keeps, and whether
the student beats the second one by more than the spread over seeds.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from finetuning import deviation, markdown, with_spread
from finetuning_job import FinetuneJob
from labelled_tasks import HELDOUT, TASKS, TRAIN, DataError, LabelledTask, encoder_folder
from measured_runs import Figures, Kept, Meter, RunError, add_device, measured
from result import Result, print_table

from lavra.runs.distill import baseline, distill_folder, prepare
from lavra.runs.distill_settings import DistillRunConfig

KEPT_BAR = 0.95
ALL = ("sst2", "assin2")
LAST_FILE = "tokenizer.json"  # the last written file of a teacher's folder: if it is there, the folder is complete
SMOKE_STEPS, SMOKE_BATCH_SIZE, SMOKE_ROWS = 4, 4, 16


@dataclass(frozen=True, kw_only=True)
class StudentJob:
    """Settings of one student's training.

    Attributes:
        task: name of a task in `labelled_tasks`.
        seed: seed of order and dropout.
        data: folder with the task's files.
        teacher: the teacher's folder.
        teacher_steps: training steps of the teacher; `None` takes the task's number.
        layers: layers of the student.
        steps: training steps instead of the task's number.
        batch_size: batch size instead of the task's.
        temperature: temperature of both distributions.
        share: weight of the loss on the teacher's logits, from 0 to 1.
        hidden: weight of the distance of hidden states.
        epochs: epochs of the student's training instead of the task's number.
        learning_rate: peak learning rate of the student instead of the usual one.
        device: `cpu` or `cuda`.
    """

    task: str
    seed: int
    data: str
    teacher: str
    teacher_steps: int | None
    layers: int | None
    steps: int | None
    batch_size: int | None
    temperature: float
    share: float
    hidden: float
    epochs: float | None
    learning_rate: float | None
    device: str

    def settings(self) -> dict[str, Any]:
        """Settings that a result depends on; folders are left out."""
        return {**asdict(self), "data": "", "teacher": ""}


@dataclass(frozen=True, kw_only=True)
class DistilledTask:
    """Results of one task.

    Attributes:
        task: the task.
        runs: a run for each seed.
    """

    task: LabelledTask
    runs: Sequence[Figures]

    def scores(self, who: str) -> list[float]:
        """Scores of the `teacher`, the `student`, or the student trained `alone` or as `never_taught`, by run."""
        places = {"alone": 0, "never_taught": 1}
        found = [run["baselines"][places[who]] if who in places else run[who] for run in self.runs]
        return [float(values[self.task.score]) for values in found]

    @property
    def majority(self) -> float:
        """Score of a baseline that always answers the most frequent label."""
        return float(self.runs[0]["majority"] or 0.0)

    @property
    def teacher(self) -> float:
        """The teacher's score."""
        return self.scores("teacher")[0]

    def kept(self, who: str) -> float:
        """Share of the teacher's gain that the student keeps; 0 where the teacher gains nothing."""
        gain = self.teacher - self.majority
        return (statistics.fmean(self.scores(who)) - self.majority) / gain if gain > 0 else 0.0

    @property
    def margin(self) -> float:
        """Difference of the student's score with and without the teacher."""
        return statistics.fmean(self.scores("student")) - statistics.fmean(self.scores("alone"))

    @property
    def spread(self) -> float:
        """The larger of the standard deviations over seeds; 0 for a single seed."""
        return max(deviation(self.scores("student")), deviation(self.scores("alone")))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help=f"tasks, separated by commas (default {','.join(ALL)}; rte with --smoke)")
    parser.add_argument("--seeds", help="seeds, separated by commas (default 0,1,2; 0 with --smoke)")
    parser.add_argument("--steps", type=int, help="training steps of teacher and student instead of each task's")
    parser.add_argument("--layers", type=int, help="layers of the student (default: half)")
    parser.add_argument("--temperature", type=float, default=2.0, help="temperature of both distributions")
    parser.add_argument("--share", type=float, default=0.5, help="weight of the loss on the teacher's logits")
    parser.add_argument("--hidden", type=float, default=0.0, help="weight of the distance of hidden states")
    parser.add_argument("--epochs", type=float, help="epochs of students instead of the task's number")
    parser.add_argument("--learning-rate", type=float, help="learning rate of students instead of the usual one")
    add_device(parser)
    parser.add_argument("--cache", type=Path, help="folder that keeps teachers and each run")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--smoke", action="store_true", help="one task, one seed, a few small steps")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    names = (args.tasks or ("rte" if args.smoke else ",".join(ALL))).split(",")
    unknown = [name for name in names if name not in TASKS or TASKS[name].score != "accuracy"]
    if unknown:
        parser.error(f"{unknown[0]} is no task whose accuracy is measured")
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcomes = [distill_task(args, TASKS[name], Path(folder)) for name in names]
        except DataError as error:
            parser.exit(error.status, f"distillation: {error}\n")
        except RunError as error:
            parser.exit(1, f"distillation: {error}\n")
    rows = table(outcomes)
    print_table(rows)
    if args.markdown is not None:
        args.markdown.write_text(markdown(rows), encoding="utf-8")
    if args.json:
        print(as_result(outcomes).line())
    return 0


def distill_task(args: argparse.Namespace, task: LabelledTask, folder: Path) -> DistilledTask:
    """A teacher, and a student for each seed."""
    task.write(folder / task.name, SMOKE_ROWS if args.smoke else None)
    steps = args.steps or (SMOKE_STEPS if args.smoke else None)
    batch_size = SMOKE_BATCH_SIZE if args.smoke else None
    teacher = (args.cache or folder).resolve() / f"teacher-{task.name}-{steps or 'all'}-{batch_size or 'usual'}"
    runs = []
    for seed in [int(one) for one in (args.seeds or ("0" if args.smoke else "0,1,2")).split(",")]:
        job = StudentJob(
            task=task.name,
            seed=seed,
            data=str(folder / task.name),
            teacher=str(teacher),
            teacher_steps=steps,
            layers=args.layers,
            steps=steps,
            batch_size=batch_size,
            temperature=args.temperature,
            share=args.share,
            hidden=args.hidden,
            epochs=args.epochs,
            learning_rate=args.learning_rate,
            device=args.device,
        )
        out = folder / f"student-{task.name}-{seed}"
        runs.append(run(job, Kept(folder=args.cache), out, apart=not args.smoke))
    return DistilledTask(task=task, runs=runs)


def run(job: StudentJob, kept: Kept, out: Path, *, apart: bool) -> Figures:
    """Figures of a student, kept or new; the teacher is finetuned first unless it is there."""

    def make() -> Figures:
        finetune_teacher(job, apart=apart)
        return measured("distillation:teach", {**asdict(job), "out": str(out)}, apart=apart)

    return kept.get(f"{job.task}-{job.seed}-student", job.settings(), make)


def finetune_teacher(job: StudentJob, *, apart: bool) -> None:
    """Finetune the teacher and write it, unless it is there."""
    if (Path(job.teacher) / LAST_FILE).exists():
        return
    asked = FinetuneJob(
        task=job.task,
        seed=0,
        data=job.data,
        base=str(encoder_folder()),
        steps=job.teacher_steps,
        batch_size=job.batch_size,
        device=job.device,
        save=job.teacher,
    )
    measured("finetuning_ours:train_job", asdict(asked), apart=apart)


def teach(settings: Mapping[str, Any], meter: Meter) -> Figures:
    """Train a student with the teacher and two without, in the process of `measured`."""
    job, task = StudentJob(**{key: value for key, value in settings.items() if key != "out"}), TASKS[settings["task"]]
    config = DistillRunConfig(
        task=task.task,
        data=Path(job.data) / f"{TRAIN}.jsonl",
        heldout=Path(job.data) / f"{HELDOUT}.jsonl",
        columns=task.columns,
        problem=task.problem,
        layers=job.layers,
        temperature=job.temperature,
        share=job.share,
        hidden=job.hidden,
        baseline=1,
        epochs=job.epochs or task.epochs,
        steps=job.steps or (None if job.epochs else task.steps),
        learning_rate=job.learning_rate,
        batch_size=job.batch_size or task.batch_size,
        max_tokens=task.max_tokens,
        seed=job.seed,
    )
    prepared = prepare(config, Path(job.teacher))
    with meter.training(job.device):
        result = distill_folder(prepared, Path(settings["out"]), lambda *_: None)
        never, _ = baseline(prepare(replace(config, baseline_from=encoder_folder()), Path(job.teacher)), job.seed)
    baselines = [dict(one.values) for one in (*result.baselines, never)]
    return {**result.metrics(), "baselines": baselines}


def table(outcomes: Sequence[DistilledTask]) -> list[list[str]]:
    """A heading, and a row for each task."""
    head = ["task", "majority", "teacher", "student", "gain kept", "alone", "gain kept", "margin", "spread"]
    head += ["never taught", "gain kept"]
    return [head, *(table_row(one) for one in outcomes)]


def table_row(one: DistilledTask) -> list[str]:
    return [
        one.task.title,
        f"{one.majority:.4f}",
        f"{one.teacher:.4f}",
        with_spread(one.scores("student")),
        f"{one.kept('student'):.1%}",
        with_spread(one.scores("alone")),
        f"{one.kept('alone'):.1%}",
        f"{one.margin:+.4f}",
        f"{one.spread:.4f}",
        with_spread(one.scores("never_taught")),
        f"{one.kept('never_taught'):.1%}",
    ]


def as_result(outcomes: Sequence[DistilledTask]) -> Result:
    """The line for `run_all`: the task on which the student keeps the smallest share of the gain."""
    worst = min(outcomes, key=lambda one: one.kept("student"))
    student, alone, never = (
        round(statistics.fmean(worst.scores(who)), 4) for who in ("student", "alone", "never_taught")
    )
    return Result(
        claim="share of the teacher's gain that a student of half its layers keeps, ahead of one without a teacher by "
        f"more than the spread of seeds (worst: {worst.task.title})",
        ours=student,
        peers={
            "alone": alone,
            "never taught": never,
            "teacher": round(worst.teacher, 4),
            "most frequent": round(worst.majority, 4),
        },
        ratio=round(worst.kept("student"), 4),
        bar=KEPT_BAR,
        holds=all(one.kept("student") >= KEPT_BAR and one.margin > one.spread for one in outcomes),
        # A few steps train nothing; only the sizes of the models are compared then.
        steady=round(worst.runs[0]["teacher_parameters"] / worst.runs[0]["student_parameters"], 4),
        packages=("torch",),
        details={"tasks": {one.task.name: details(one) for one in outcomes}},
    )


def details(one: DistilledTask) -> dict[str, Any]:
    """Details of a task for the record."""
    return {
        "student": one.scores("student"),
        "alone": one.scores("alone"),
        "never_taught": one.scores("never_taught"),
        "kept": round(one.kept("student"), 4),
        "kept_alone": round(one.kept("alone"), 4),
        "margin": round(one.margin, 4),
        "spread": round(one.spread, 4),
        "parameters": [one.runs[0]["teacher_parameters"], one.runs[0]["student_parameters"]],
    }


if __name__ == "__main__":
    sys.exit(main())
