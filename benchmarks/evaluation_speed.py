"""Seconds of scoring three benchmarks, beside lm-evaluation-harness' `hf` model on the same SmolLM2 in float32.

MMLU with 5 shots (the first 50 items of four subjects), 200 items of ARC-Easy, the first 60,000 bytes of WikiText-2 as
articles.  Both sides get the same texts, as the harness' own task files render them, and compute their log-likelihoods.
The clock covers tokenizing, computing and summing.  The harness uses the fastest of several batch sizes, found on a few
items beforehand.  The sides take turns, three runs each; medians count.

The answer to each item is the same on both sides where its margin exceeds 1e-4 nats; others are listed.  With
`--smoke`, a small random model scores a few artificial items.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from labelled_tasks import NOT_MEASURED, DataError, public_data, read_text
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from random_model import make_model
from result import Result, print_table
from start_or_scratch import real_start

from lavra import load
from lavra.base.types import ScoreRequest
from lavra.generate.in_process import InProcessModel

BARS: Final = {"MMLU, 5 shots": 0.25, "ARC-Easy": 0.6, "WikiText-2": 0.9}
SUBJECTS: Final = ("astronomy", "college_biology", "high_school_geography", "world_religions")
BATCH_SIZES: Final = (1, 2, 4, 8, 16)
MARGIN: Final = 1e-4  # nats between the two likeliest choices, below which rounding may decide
RUNS: Final = 3
LETTERS: Final = "ABCD"
WORDS: Final = "the small house by the river had a red door and no windows at all"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A context, and the choices that are scored after it.

    Attributes:
        context: text before every choice; empty for a whole document.
        choices: texts that are scored.
    """

    context: str
    choices: tuple[str, ...]


Scores = list[tuple[float, ...]]
"""Log-likelihoods of each item's choices, nats."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=None, help="items of each benchmark (default: all of them)")
    parser.add_argument("--model", type=Path, default=None, help="a folder (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each side (default {RUNS})")
    parser.add_argument("--smoke", action="store_true", help="a random model, a few artificial items")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sets = made_sets() if args.smoke else real_sets(args.limit)
            folder = args.model or (small_model(Path(scratch)) if args.smoke else real_model(Path(scratch)))
        except DataError as error:
            print(f"evaluation_speed: {error}")
            return NOT_MEASURED
        found = {}
        for name, items in sets:
            found[name] = compare(folder, items, args.runs, (4,) if args.smoke else BATCH_SIZES)
            show({name: found[name]})  # show it now: the next benchmark takes minutes
    if args.json:
        print(as_result(found).line())
    return 0


def small_model(folder: Path) -> Path:
    return make_model(folder, 64, 2, max_positions=1024, vocab_size=2048)


def real_model(folder: Path) -> Path:
    """SmolLM2 as a folder that both sides can open.

    Raises:
        DataError: the package that contains it is not installed.
    """
    load(str(real_start()), dtype="float32").save(folder)
    return folder


def real_sets(limit: int | None) -> list[tuple[str, list[Item]]]:
    """Items of the three benchmarks; a limit makes a quick run possible.

    Raises:
        DataError: the public data is not there.
    """
    data = public_data()
    questions = [item for subject in SUBJECTS for item in mmlu(data / "mmlu", subject)[: min(50, limit or 50)]]
    rows = read_text(data / "benchmarks" / "llm-foundry" / "world_knowledge" / "arc_easy.jsonl").splitlines()
    pages = articles(read_text(data / "lm" / "wikitext-2-raw" / "test.txt"), 60_000)
    return list(
        zip(
            BARS,
            (questions, [arc(json.loads(row)) for row in rows[: min(200, limit or 200)]], pages[:limit]),
            strict=True,
        )
    )


def mmlu(folder: Path, subject: str) -> list[Item]:
    """A subject's questions after its five examples, as the harness' `mmlu` task has them."""
    dev = list(csv.DictReader(read_text(folder / "dev" / f"{subject}_dev.csv").splitlines()))
    test = list(csv.DictReader(read_text(folder / "test" / f"{subject}_test.csv").splitlines()))

    def question(row: dict[str, str]) -> str:
        choices = "\n".join(f"{letter}. {row[f'choice{number}']}" for number, letter in enumerate(LETTERS))
        return f"{row['question'].strip()}\n{choices}\nAnswer:"

    title = subject.replace("_", " ")
    shots = "".join(f"{question(row)} {LETTERS[int(row['answer'])]}\n\n" for row in dev[:5])
    lead = f"The following are multiple choice questions (with answers) about {title}.\n\n{shots}"
    return [Item(context=lead + question(row), choices=tuple(f" {letter}" for letter in LETTERS)) for row in test]


def arc(row: dict[str, Any]) -> Item:
    return Item(context=f"{row['query']}\nAnswer:", choices=tuple(f" {choice}" for choice in row["choices"]))


def articles(text: str, size: int) -> list[Item]:
    """The first bytes of WikiText, divided at the headings of articles."""
    cut = text.encode()[:size].decode(errors="ignore")
    return [Item(context="", choices=(page,)) for page in re.split(r"(?m)^(?= = [^=].* = $)", cut) if page.strip()]


def made_sets() -> list[tuple[str, list[Item]]]:
    """Texts of the three shapes, made of random words."""
    words = WORDS.split()
    lead = "Some questions.\n\n" + " ".join(words * 8) + "\n\n"
    letters = tuple(f" {letter}" for letter in LETTERS)

    def question(number: int) -> str:
        return " ".join([*words[number % 7 :], *words[: number % 5], str(number)])

    shots = [Item(context=f"{lead}{question(number)}? Answer:", choices=letters) for number in range(6)]
    ends = tuple(f" {word} {word}" for word in words[:4])
    return list(
        zip(
            BARS,
            (
                shots,
                [Item(context=f"{question(number)}?", choices=ends) for number in range(6)],
                [Item(context="", choices=(" ".join(words * 20),))],
            ),
            strict=True,
        )
    )


def compare(folder: Path, items: Sequence[Item], runs: int, batch_sizes: Sequence[int]) -> dict[str, Any]:
    """Seconds and scores of both sides over the same items."""
    ours, theirs = load(str(folder), dtype="float32", runner="torch").port, peer(folder)
    assert isinstance(ours, InProcessModel)
    best = fastest(theirs, items, batch_sizes)
    sides: dict[str, Callable[[Sequence[Item]], Scores]] = {
        "lavra": lambda asked: ask_ours(ours, asked),
        "lm-eval": lambda asked: ask_theirs(theirs, asked, best),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, Scores] = {}
    for side in sides.values():
        side(items[:2])  # warms up
    for _ in range(runs):
        for name, side in sides.items():
            began = time.perf_counter()
            scores[name] = side(items)
            seconds[name].append(time.perf_counter() - began)
    return {"seconds": seconds, "batch_size": best, **answers(scores["lavra"], scores["lm-eval"])}


def ask_ours(model: InProcessModel, items: Sequence[Item]) -> Scores:
    requests = [request(model, item.context, choice) for item in items for choice in item.choices]
    sums = iter([sum(logprob or 0.0 for logprob in score.logprobs) for score in model.score(requests)])
    return [tuple(next(sums) for _ in item.choices) for item in items]


def request(model: InProcessModel, context: str, choice: str) -> ScoreRequest:
    """A request that scores the same tokens as the harness does: of a whole document, the first token too."""
    if context or not model.encoding.frame.before:
        return ScoreRequest(text=choice, given=context, overlap=0)
    begin = model.encoding.frame.before
    return ScoreRequest(text=(*begin, *model.tokenizer.encode(choice)), given=begin, overlap=0)


def peer(folder: Path) -> HFLM:
    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1)


def ask_theirs(model: HFLM, items: Sequence[Item], batch_size: int) -> Scores:
    model.batch_size_per_gpu = batch_size
    pairs = [(item.context, choice) for item in items for choice in item.choices]
    if any(context for context, _ in pairs):
        asked = [instance("loglikelihood", pair, number) for number, pair in enumerate(pairs)]
        sums = iter([logprob for logprob, _ in model.loglikelihood(asked, disable_tqdm=True)])
    else:
        asked = [instance("loglikelihood_rolling", (text,), number) for number, (_, text) in enumerate(pairs)]
        sums = iter(model.loglikelihood_rolling(asked, disable_tqdm=True))
    return [tuple(next(sums) for _ in item.choices) for item in items]


def instance(kind: str, arguments: tuple[str, ...], number: int) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=number)


def fastest(model: HFLM, items: Sequence[Item], batch_sizes: Sequence[int]) -> int:
    """The batch size with which the harness is fastest on a few items."""
    taken = {}
    for size in batch_sizes:
        began = time.perf_counter()
        ask_theirs(model, items[:16], size)
        taken[size] = time.perf_counter() - began
        if taken[size] > 1.5 * min(taken.values()):
            break  # long texts get slower and slower, a minute each
    return min(taken, key=lambda size: taken[size])


def answers(ours: Scores, theirs: Scores) -> dict[str, Any]:
    """Differences of the two sides' log-likelihoods, and the items whose answers differ."""
    other, close = [], []
    for number, (mine, their) in enumerate(zip(ours, theirs, strict=True)):
        if len(mine) == 1:
            continue
        ranked = sorted(their, reverse=True)
        if ranked[0] - ranked[1] <= MARGIN:
            close.append(number)
        elif mine.index(max(mine)) != their.index(max(their)):
            other.append(number)
    pairs = [pair for mine, their in zip(ours, theirs, strict=True) for pair in zip(mine, their, strict=True)]
    return {
        "items": len(ours),
        "other_answers": other,
        "too_close": close,
        "largest_difference": max(abs(a - b) for a, b in pairs),
        "largest_relative": max(abs(a - b) / max(abs(b), 1e-9) for a, b in pairs),
    }


def ratio_of(found: dict[str, Any]) -> float:
    ours, theirs = (statistics.median(found["seconds"][name]) for name in ("lavra", "lm-eval"))
    return float(ours / theirs)


def show(found: dict[str, dict[str, Any]]) -> None:
    heading = ("", "items", "lavra", "lm-eval", "its batch", "ratio", "bar", "apart by", "other answers", "too close")
    rows = [heading]
    for name, one in found.items():
        ours, theirs = (f"{statistics.median(seconds):.2f} s" for seconds in one["seconds"].values())
        counts = [str(len(one[key])) for key in ("other_answers", "too_close")]
        ratio, apart = f"{ratio_of(one):.3f}", f"{one['largest_difference']:.1e}"
        figures = (ours, theirs, str(one["batch_size"]), ratio, f"{BARS[name]:g}", apart)
        rows.append((name, str(one["items"]), *figures, *counts))  # type: ignore[arg-type]
    print_table(rows)


def as_result(found: dict[str, dict[str, Any]]) -> Result:
    """The result of the benchmark that is nearest to its bar, or farthest beyond it."""
    ratios = {name: ratio_of(one) for name, one in found.items()}
    worst = max(ratios, key=lambda name: ratios[name] / BARS[name])
    same = not any(one["other_answers"] for one in found.values())
    near = all(one["largest_difference"] <= 1e-3 or one["largest_relative"] <= 1e-4 for one in found.values())
    return Result(
        claim="seconds of scoring over lm-eval's hf, as a share of the bar (MMLU 0.25, ARC-Easy 0.6, WikiText-2 0.9)",
        ours=round(statistics.median(found[worst]["seconds"]["lavra"]), 3),
        peers={"lm-eval": round(statistics.median(found[worst]["seconds"]["lm-eval"]), 3)},
        ratio=round(ratios[worst] / BARS[worst], 4),
        bar=1.0,
        better="lower",
        packages=("torch", "transformers", "lm_eval"),
        holds=bool(same and near and all(ratios[name] <= bar for name, bar in BARS.items())),
        details={"worst": worst, "ratios": {name: round(one, 4) for name, one in ratios.items()}, "benchmarks": found},
    )


if __name__ == "__main__":
    raise SystemExit(main())
