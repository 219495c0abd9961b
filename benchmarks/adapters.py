"""Adapters beside full finetuning: scores, parameters, seconds and memory of every method on the same tasks.

A real encoder (MiniLM) learns each task by full finetuning and by adapters.  An adapter has at most 2 % of the
encoder's parameters: rank and bottleneck are chosen accordingly, and the head and the pooler count as part of the
adapter.  The measure is the share of full finetuning's gain that an adapter keeps.  The gain counts from a baseline
that always answers the most frequent label; where the score is a correlation or an F1 of entities, the baseline is 0.
An encoder cannot have a prefix: lavra refuses it, and the table has no row for it.

The claim is LoRA's: at least 97 % of the gain, on every task whose gain is at least 10 points.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from finetuning import MB, markdown, mean, with_spread
from finetuning_job import FinetuneJob
from labelled_tasks import TASKS, DataError, LabelledTask, encoder_folder
from measured_runs import Figures, Kept, RunError, add_device, measured
from result import Result, print_table

from lavra.tasks.answer import ANSWER
from lavra.tasks.tag import TAG

KEPT_BAR, SHARE_BAR, GAIN_BAR = 0.97, 0.02, 0.10
ALL = ("sst2", "assin2", "stsb", "lener")
FULL, CLAIMED = "full", "lora"
# Trained parameters, with the pooler (0.65 % of MiniLM) and a head of two labels: 1.7, 1.8, 0.7, 1.3, 1.3, 0.7 %.
METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    FULL: {},
    CLAIMED: {"rank": 6},
    "dora": {"rank": 6},
    "ia3": {},
    "houlsby": {"bottleneck": 16},
    "pfeiffer": {"bottleneck": 32},
    "prompt": {},
}
WITHOUT_VIRTUAL = (TAG, ANSWER)  # a soft prompt would shift the positions of tags and spans
STEPS: Final[Mapping[str, int]] = {"sst2": 1000}  # enough for the compared gain
SMOKE_STEPS, SMOKE_BATCH_SIZE, SMOKE_ROWS = 4, 4, 16


@dataclass(frozen=True, kw_only=True)
class AdaptedTask:
    """Results of one method on one task.

    Attributes:
        task: the task.
        method: the trained method.
        runs: a run for each seed.
        full: the runs of full finetuning.
    """

    task: LabelledTask
    method: str
    runs: Sequence[Figures]
    full: Sequence[Figures]

    @property
    def scores(self) -> list[float]:
        """The task's main score of each run."""
        return [float(run["scores"][self.task.score]) for run in self.runs]

    @property
    def baseline(self) -> float:
        """Score of a baseline that always gives the same answer."""
        return float(self.runs[0]["majority"] or 0.0) if self.task.score == "accuracy" else 0.0

    @property
    def gain(self) -> float:
        """Gain of full finetuning over the baseline."""
        return statistics.fmean(run["scores"][self.task.score] for run in self.full) - self.baseline

    @property
    def kept(self) -> float | None:
        """Share of that gain that the method keeps; `None` where full finetuning gains nothing."""
        return (statistics.fmean(self.scores) - self.baseline) / self.gain if self.gain > 0 else None

    @property
    def share(self) -> float:
        """Share of the parameters that train."""
        return float(self.runs[0]["trainable"] / self.runs[0]["parameters"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help=f"tasks, separated by commas (default {','.join(ALL)}; rte with --smoke)")
    parser.add_argument("--methods", help=f"methods beside full, separated by commas (default {','.join(METHODS)})")
    parser.add_argument("--seeds", help="seeds, separated by commas (default 0,1,2; 0 with --smoke)")
    parser.add_argument("--steps", type=int, help="training steps instead of each task's number")
    parser.add_argument("--learning-rate", type=float, help="learning rate of adapters instead of each method's")
    add_device(parser)
    parser.add_argument("--cache", type=Path, help="folder that keeps each run")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--smoke", action="store_true", help="one task, LoRA alone, a few small steps")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    tasks = (args.tasks or ("rte" if args.smoke else ",".join(ALL))).split(",")
    methods = (args.methods or (CLAIMED if args.smoke else ",".join(METHODS))).split(",")
    for name, known in [*((task, TASKS) for task in tasks), *((method, METHODS) for method in methods)]:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    if args.json and CLAIMED not in methods:
        parser.error(f"--json is about {CLAIMED}; name it among the methods")
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = [row for name in tasks for row in train_methods(args, TASKS[name], methods, Path(folder))]
        except DataError as error:
            parser.exit(error.status, f"adapters: {error}\n")
        except RunError as error:
            parser.exit(1, f"adapters: {error}\n")
    cells = table(rows)
    print_table(cells)
    if args.markdown is not None:
        args.markdown.write_text(markdown(cells), encoding="utf-8")
    if args.json:
        print(as_result(rows).line())
    return 0


def train_methods(
    args: argparse.Namespace, task: LabelledTask, methods: Sequence[str], folder: Path
) -> list[AdaptedTask]:
    """Train a task with every method that suits it, full finetuning first."""
    seeds = [int(seed) for seed in (args.seeds or ("0" if args.smoke else "0,1,2")).split(",")]
    runs: dict[str, list[Figures]] = {}
    for method in dict.fromkeys([FULL, *methods]):
        if method == "prompt" and task.task in WITHOUT_VIRTUAL:
            print(f"{task.title}: a soft prompt does not suit it, and is left out", file=sys.stderr, flush=True)
            continue
        runs[method] = [run(args, job(args, task, method, seed, folder)) for seed in seeds]
    return [AdaptedTask(task=task, method=method, runs=made, full=runs[FULL]) for method, made in runs.items()]


def job(args: argparse.Namespace, task: LabelledTask, method: str, seed: int, folder: Path) -> FinetuneJob:
    """The training job of a method."""
    return FinetuneJob(
        task=task.name,
        seed=seed,
        data=str(folder / task.name),
        base=str(encoder_folder()),
        method=method,
        steps=args.steps or (SMOKE_STEPS if args.smoke else STEPS.get(task.name)),
        batch_size=SMOKE_BATCH_SIZE if args.smoke else None,
        learning_rate=None if method == FULL else args.learning_rate,
        device=args.device,
        **METHODS[method],
    )


def run(args: argparse.Namespace, asked: FinetuneJob) -> Figures:
    """Figures of a run: the kept ones, or those of a new run."""

    def make() -> Figures:
        TASKS[asked.task].write(Path(asked.data), SMOKE_ROWS if args.smoke else None)
        return measured("finetuning_ours:train_job", asdict(asked), apart=not args.smoke)

    name = f"{asked.task}-{asked.seed}-{asked.method}"
    return Kept(folder=args.cache).get(name, asked.settings(), make)


def table(rows: Sequence[AdaptedTask]) -> list[list[str]]:
    """A heading, and a row for each task and method."""
    head = ["task", "method", "parameters", "score", "gain kept", "seconds", "MB"]
    return [head, *(table_row(row) for row in rows)]


def table_row(row: AdaptedTask) -> list[str]:
    kept = "–" if row.kept is None else f"{row.kept:.1%}"
    title = f"{row.task.title} ({row.task.score}; always the same: {row.baseline:.4f})"
    figures = [f"{mean(row.runs, 'seconds'):.1f}", f"{mean(row.runs, 'memory') / MB:.0f}"]
    return [title, row.method, f"{row.share:.2%}", with_spread(row.scores), kept, *figures]


def as_result(rows: Sequence[AdaptedTask]) -> Result:
    """The line for `run_all`: the task on which LoRA keeps the smallest share of a gain of at least 10 points."""
    claimed = [row for row in rows if row.method == CLAIMED]
    counted = [row for row in claimed if row.gain >= GAIN_BAR]
    worst = min(counted or claimed, key=lambda row: row.kept or 0.0)
    full = statistics.fmean(run["scores"][worst.task.score] for run in worst.full)
    kept = worst.kept or 0.0
    return Result(
        claim=f"share of full finetuning's gain that LoRA keeps with at most 2 % of the parameters "
        f"(worst of {len(counted)} tasks that gain 10 points: {worst.task.title})",
        ours=round(statistics.fmean(worst.scores), 4),
        peers={"full": round(full, 4), "always the same": round(worst.baseline, 4)},
        ratio=round(kept, 4),
        bar=KEPT_BAR,
        holds=len(counted) > 1 and kept >= KEPT_BAR and all(row.share <= SHARE_BAR for row in claimed),
        # A few steps train nothing, so a small run compares the adapter's time instead.
        steady=round(mean(worst.full, "cpu_seconds") / mean(worst.runs, "cpu_seconds"), 4),
        packages=("torch",),
        details={"rows": [details(row) for row in rows]},
    )


def details(row: AdaptedTask) -> dict[str, Any]:
    """Details of a row for the record."""
    return {
        "task": row.task.name,
        "method": row.method,
        "scores": row.scores,
        "share": round(row.share, 5),
        "kept": None if row.kept is None else round(row.kept, 4),
        "seconds": round(mean(row.runs, "seconds"), 2),
        "memory": round(mean(row.runs, "memory") / MB),
    }


if __name__ == "__main__":
    sys.exit(main())
