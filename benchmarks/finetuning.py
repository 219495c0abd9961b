"""Finetuning on real data beside the Hugging Face Trainer: the same start, data, order and steps.

All weights of a real pretrained encoder (MiniLM, 22.7M parameters) are finetuned on each task; a LLaMA and a T5 that
lavra pretrains learn instructions by LoRA, with peft on the peer's side.  lavra runs as `lavra finetune` does.  The
Trainer gets the same tokenised rows in the same order (like lengths together), the same initial weights, rates and
optimizer, bf16 where that is faster, and no evaluation, saving or logging.  Each run is a separate process, which
reports its seconds from ready data to the last step and its peak memory beyond what the imported torch takes.  Scores
are of held-out samples, computed by the same code for both sides.

A row of the table holds if our mean score is not below the peer's by more than the spread of the seeds (the larger of
the two standard deviations), in at most 0.6 of its seconds and 0.7 of its memory.  `--cache` keeps each run, so that a
later call adds the missing ones.
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
from typing import Any

import torch
from finetuning_job import FinetuneJob, load_ragged
from finetuning_ours import export, peer_settings, ready, scored
from labelled_tasks import TASKS, DataError, LabelledTask, encoder_folder
from measured_runs import Figures, Kept, RunError, add_device, measured
from result import Result, print_table
from start_models import BUDGET, pretrained

from lavra.base.device import bf16_pays

SECONDS_BAR, MEMORY_BAR = 0.6, 0.7
ALL = ("sst2", "cola", "rte", "stsb", "assin2", "lener", "faquad", "xquad", "instruct", "instruct-t5")
SMOKE_TASKS, SMOKE_STEPS, SMOKE_BATCH_SIZE, SMOKE_ROWS = ("rte",), 6, 4, 16
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class FinetuneComparison:
    """Settings of the comparison.

    Attributes:
        tasks: compared tasks.
        seeds: seeds of each task.
        steps: steps instead of each task's own number.
        batch_size: batch size instead of each task's own.
        rows: most rows of each file.
        starts: folder of the model that a task starts from, by the task's `start`.
        peer: whether the Trainer runs too.
        compile: whether the Trainer compiles.
        bf16: whether both train in bf16.
        device: device of both sides.
        kept: results of earlier runs.
        apart: whether each run is a separate process.
        folder: folder for temporary files.
    """

    tasks: Sequence[LabelledTask]
    seeds: Sequence[int]
    steps: int | None
    batch_size: int | None
    rows: int | None
    starts: Mapping[str, Path]
    peer: bool
    compile: bool
    bf16: bool
    device: str
    kept: Kept
    apart: bool
    folder: Path

    def job(self, task: LabelledTask, seed: int) -> FinetuneJob:
        """The training job of lavra for a task and seed."""
        return FinetuneJob(
            task=task.name,
            seed=seed,
            data=str(self.folder / task.name),
            base=str(self.starts[task.start]),
            steps=self.steps,
            batch_size=self.batch_size,
            bf16=self.bf16,
            device=self.device,
        )


@dataclass(frozen=True, kw_only=True)
class FinetunedTask:
    """Results of one task.

    Attributes:
        task: the task.
        ours: our runs, a run for each seed.
        peers: the Trainer's runs; empty where it did not run.
    """

    task: LabelledTask
    ours: Sequence[Figures]
    peers: Sequence[Figures]

    def scores(self, runs: Sequence[Figures]) -> list[float]:
        """The task's main score of each run."""
        return [float(run["scores"][self.task.score]) for run in runs]

    @property
    def behind(self) -> float:
        """Difference by which the peer's mean score is better."""
        difference = statistics.fmean(self.scores(self.peers)) - statistics.fmean(self.scores(self.ours))
        return -difference if self.task.lower_is_better else difference

    @property
    def spread(self) -> float:
        """The larger of the two standard deviations over seeds; 0 for a single seed."""
        return max(deviation(self.scores(runs)) for runs in (self.ours, self.peers))

    def ratio(self, name: str) -> float:
        """Ratio of our figure to the peer's, over all seeds."""
        return float(sum(run[name] for run in self.ours) / sum(run[name] for run in self.peers))

    @property
    def failed(self) -> list[str]:
        """Names of the conditions that do not hold."""
        checks = {
            "score": self.behind <= self.spread,
            "time": self.ratio("seconds") <= SECONDS_BAR,
            "memory": self.ratio("memory") <= MEMORY_BAR,
        }
        return [name for name, holds in checks.items() if not holds]


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of a sample; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", help=f"tasks, separated by commas: {', '.join(TASKS)}")
    parser.add_argument("--seeds", help="seeds, separated by commas (default 0,1,2; 0 with --smoke)")
    parser.add_argument("--steps", type=int, help="training steps instead of each task's number")
    parser.add_argument("--batch-size", type=int, help="batch size instead of each task's")
    parser.add_argument("--budget", default=BUDGET, help="time to pretrain each model that learns instructions")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="also run the Trainer")
    parser.add_argument("--peer-compile", action="store_true", help="let the Trainer compile")
    add_device(parser)
    parser.add_argument("--cache", type=Path, help="folder that keeps each run")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--smoke", action="store_true", help=f"one task, {SMOKE_STEPS} small steps, one seed")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if args.json and not args.peer:
        parser.error("--json compares with the peer; leave out --no-peer")
    names = args.tasks.split(",") if args.tasks else SMOKE_TASKS if args.smoke else ALL
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        parser.error(f"no task {', '.join(unknown)}; there are: {', '.join(TASKS)}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            comparison = FinetuneComparison(
                tasks=[TASKS[name] for name in names],
                seeds=[int(seed) for seed in (args.seeds or ("0" if args.smoke else "0,1,2")).split(",")],
                steps=args.steps or (SMOKE_STEPS if args.smoke else None),
                batch_size=args.batch_size or (SMOKE_BATCH_SIZE if args.smoke else None),
                rows=SMOKE_ROWS if args.smoke else None,
                starts=starts(names, args.cache or Path(folder), args.budget),
                peer=args.peer,
                compile=args.peer_compile,
                bf16=bf16_pays(torch.device(args.device)),
                device=args.device,
                kept=Kept(folder=args.cache),
                apart=not args.smoke,
                folder=Path(folder),
            )
            outcomes = [compare_task(comparison, task) for task in comparison.tasks]
        except DataError as error:
            parser.exit(error.status, f"finetuning: {error}\n")
        except RunError as error:
            parser.exit(1, f"finetuning: {error}\n")
    rows = table(outcomes)
    print_table(rows)
    if args.markdown is not None:
        args.markdown.write_text(markdown(rows), encoding="utf-8")
    if args.json:
        print(as_result(comparison, outcomes).line())
    return 0


def starts(names: Sequence[str], folder: Path, budget: str) -> dict[str, Path]:
    """Folders of the models that the named tasks start from; models that lavra pretrains are kept in the folder."""
    wanted = dict.fromkeys(TASKS[name].start for name in names)
    return {
        start: encoder_folder() if start == "encoder" else pretrained(start, (folder / "start").resolve(), budget)
        for start in wanted
    }


def compare_task(comparison: FinetuneComparison, task: LabelledTask) -> FinetunedTask:
    """Run all seeds of a task; the side that begins alternates."""
    ours, peers = [], []
    for place, seed in enumerate(comparison.seeds):
        sides = ["ours", "peer"] if comparison.peer else ["ours"]
        for side in sides if place % 2 == 0 else reversed(sides):
            if side == "ours":
                ours.append(run_ours(comparison, task, seed))
            else:
                peers.append(run_peer(comparison, task, seed))
    return FinetunedTask(task=task, ours=ours, peers=peers)


def run_ours(comparison: FinetuneComparison, task: LabelledTask, seed: int) -> Figures:
    """A run of lavra."""
    job = comparison.job(task, seed)

    def make() -> Figures:
        task.write(Path(job.data), comparison.rows)
        return measured("finetuning_ours:train_job", asdict(job), apart=comparison.apart)

    return comparison.kept.get(f"{task.name}-{seed}-ours", job.settings(), make)


def run_peer(comparison: FinetuneComparison, task: LabelledTask, seed: int) -> Figures:
    """A run of the Trainer."""
    job = comparison.job(task, seed)

    def make() -> Figures:
        task.write(Path(job.data), comparison.rows)
        folder = comparison.folder / f"{task.name}-{seed}"
        folder.mkdir()
        prepared = ready(job)
        theirs = export(prepared, folder, device=comparison.device, compile_it=comparison.compile)
        figures = measured("finetuning_peer:train_job", peer_settings(theirs), apart=comparison.apart)
        return {**figures, "scores": scored(prepared, load_ragged(Path(theirs.out))["logits"])}

    name = f"{task.name}-{seed}-peer{'-compiled' if comparison.compile else ''}"
    return comparison.kept.get(name, {**job.settings(), "compile": comparison.compile}, make)


def table(outcomes: Sequence[FinetunedTask]) -> list[list[str]]:
    """A heading, and a row for each task."""
    head = ["task", "score", "lavra", "Trainer", "seconds", "Trainer's", "ratio", "MB", "Trainer's", "ratio", "holds"]
    return [head, *(table_row(outcome) for outcome in outcomes)]


def table_row(outcome: FinetunedTask) -> list[str]:
    task, ours, peers = outcome.task, outcome.ours, outcome.peers
    begin = [task.title, task.score, with_spread(outcome.scores(ours))]
    seconds, memory = mean(ours, "seconds"), mean(ours, "memory") / MB
    if not peers:
        return [*begin, "", f"{seconds:.1f}", "", "", f"{memory:.0f}", "", "", ""]
    verdict = "yes" if not outcome.failed else "no: " + ", ".join(outcome.failed)
    return [
        *begin,
        with_spread(outcome.scores(peers)),
        f"{seconds:.1f}",
        f"{mean(peers, 'seconds'):.1f}",
        f"{outcome.ratio('seconds'):.2f}",
        f"{memory:.0f}",
        f"{mean(peers, 'memory') / MB:.0f}",
        f"{outcome.ratio('memory'):.2f}",
        verdict,
    ]


def mean(runs: Sequence[Figures], name: str) -> float:
    """Mean of a figure over runs."""
    return statistics.fmean(run[name] for run in runs)


def with_spread(scores: Sequence[float]) -> str:
    """Mean and, for several runs, standard deviation."""
    spread = f" ± {deviation(scores):.4f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.4f}{spread}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def as_result(comparison: FinetuneComparison, outcomes: Sequence[FinetunedTask]) -> Result:
    """The line for `run_all`: the task with the worst ratio of seconds."""
    worst = max(outcomes, key=lambda outcome: outcome.ratio("seconds"))
    return Result(
        claim=f"seconds of finetuning, scores not worse, memory at most {MEMORY_BAR} (worst: {worst.task.title})",
        ours=round(mean(worst.ours, "seconds"), 2),
        peers={"Trainer": round(mean(worst.peers, "seconds"), 2)},
        ratio=round(worst.ratio("seconds"), 4),
        bar=SECONDS_BAR,
        better="lower",
        holds=not any(outcome.failed for outcome in outcomes),
        # The sides run one after the other, so other load of the machine may stretch the seconds of either.
        steady=round(worst.ratio("cpu_seconds"), 4),
        packages=("torch", "transformers", "accelerate", "peft"),
        details={
            "tasks": {outcome.task.name: details(outcome) for outcome in outcomes},
            "seeds": list(comparison.seeds),
            "bf16": comparison.bf16,
            "compile": comparison.compile,
            "device": comparison.device,
        },
    )


def details(outcome: FinetunedTask) -> Mapping[str, Any]:
    """Details of a task for the record."""
    return {
        "score": outcome.task.score,
        "ours": outcome.scores(outcome.ours),
        "Trainer": outcome.scores(outcome.peers),
        "seconds_ratio": round(outcome.ratio("seconds"), 4),
        "cpu_seconds_ratio": round(outcome.ratio("cpu_seconds"), 4),
        "memory_ratio": round(outcome.ratio("memory"), 4),
        "process_memory_ratio": round(outcome.ratio("process_memory"), 4),
        "failed": outcome.failed,
    }


if __name__ == "__main__":
    sys.exit(main())
