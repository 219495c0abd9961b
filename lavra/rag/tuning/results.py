"""The result of a tuning run, as a table and as plain data, and its trials on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.convert import to_mapping
from lavra.base.files import hash_json, read_json, write_json
from lavra.metrics.intervals import mean_interval
from lavra.metrics.ranking import ranking_intervals
from lavra.rag.tuning.choose import SetupChoice
from lavra.rag.tuning.config import Setup, chunking_name
from lavra.rag.tuning.hits import Hit, hit_scores
from lavra.rag.tuning.trial import Trial

SCORES = ("recall@5", "recall@10", "mrr@10", "ndcg@10")


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """The result of a tuning run.

    Attributes:
        trials: results of the setups, in the order in which they were made.
        missing: setups for which the time was too short; the same command goes on with them.
        choice: the chosen setup.
        here: the chosen setup as long as documents stay cut as they are.
        questions: number of questions of each kind.
        left_out: a sentence about each of the user's questions that could not be used.
        documents: number of documents in the sample.
        all_documents: number of documents in the index.
        seconds: duration of this run.
    """

    trials: tuple[Trial, ...]
    missing: tuple[Setup, ...]
    choice: SetupChoice
    here: SetupChoice
    questions: Mapping[str, int]
    left_out: tuple[str, ...]
    documents: int
    all_documents: int
    seconds: float


def table_rows(result: TuningResult) -> list[list[str]]:
    """Make a heading, and a row for each setup, the best first; intervals of 95 % stand behind the gain and nDCG."""
    rows = [["chunks", "search", "rerank", "gain by text", *SCORES, "ms", "taken"]]
    ordered = sorted(result.trials, key=lambda trial: -float(trial.gains().mean()))
    for trial in ordered:
        scores = hit_scores(trial.hits)
        means, intervals = scores.to_values(), ranking_intervals(scores)
        gain, around = trial.gains(), mean_interval(trial.gains())
        shown = [f"{means[name]:.3f}" for name in SCORES[:-1]]
        shown.append(f"{means[SCORES[-1]]:.3f} [{intervals[SCORES[-1]].low:.2f}, {intervals[SCORES[-1]].high:.2f}]")
        rows.append(
            [
                chunking_name(trial.setup.chunking),
                _search_name(trial),
                _rerank_name(trial),
                f"{gain.mean():.3f} [{around.low:.2f}, {around.high:.2f}]",
                *shown,
                f"{trial.milliseconds:.0f}",
                "*" if trial == result.choice.trial else "",
            ]
        )
    return rows


def to_data(result: TuningResult, rerank_depth: int, reranker: str = "") -> dict[str, Any]:
    """The result as plain data, for the card of an index and for `--json`.

    Args:
        result: outcome of the run.
        rerank_depth: number of passages that a reranker reads.
        reranker: name by which the reranker is opened.
    """
    return {
        "choice": _choice_data(result.choice, rerank_depth),
        "here": _choice_data(result.here, rerank_depth),
        "reranker": reranker,
        "trials": [_trial_scores(trial) for trial in result.trials],
        "missing": [_setup_data(setup) for setup in result.missing],
        "questions": dict(result.questions),
        "left_out": list(result.left_out),
        "documents": result.documents,
        "all_documents": result.all_documents,
        "seconds": round(result.seconds, 1),
    }


def keep_trial(folder: Path, trial: Trial) -> None:
    """Write a trial, whole or not at all."""
    hits = [None if hit is None else [hit.rank, hit.characters] for hit in trial.hits]
    numbers = {name: getattr(trial, name) for name in ("milliseconds", "chunks", "dense_weight", "rerank_weight")}
    write_json(_path(folder, trial.setup), {"setup": _setup_data(trial.setup), "hits": hits, **numbers})


def kept_trial(folder: Path, setup: Setup) -> Trial | None:
    """Read the trial of a setup that an earlier run wrote."""
    path = _path(folder, setup)
    if not path.exists():
        return None
    raw = read_json(path)
    hits = tuple(None if one is None else Hit(rank=one[0], characters=one[1]) for one in raw["hits"])
    return Trial(
        setup=setup,
        hits=hits,
        milliseconds=raw["milliseconds"],
        chunks=raw["chunks"],
        dense_weight=raw["dense_weight"],
        rerank_weight=raw["rerank_weight"],
    )


def _path(folder: Path, setup: Setup) -> Path:
    return folder / f"{hash_json(_setup_data(setup))}.json"


def _setup_data(setup: Setup) -> dict[str, Any]:
    return {"chunking": to_mapping(setup.chunking), "search": setup.search.value, "reranked": setup.reranked}


def _choice_data(choice: SetupChoice, rerank_depth: int) -> dict[str, Any]:
    return {
        "chunking": to_mapping(choice.trial.setup.chunking),
        "retrieval": to_mapping(choice.trial.retrieval(rerank_depth)),
        "scores": _trial_scores(choice.trial),
        "reasons": list(choice.reasons),
    }


def _trial_scores(trial: Trial) -> dict[str, Any]:
    means = hit_scores(trial.hits).to_values()
    return {
        **_setup_data(trial.setup),
        "gain_by_text": round(float(trial.gains().mean()), 4),
        **{name: round(means[name], 4) for name in SCORES},
        "milliseconds": round(trial.milliseconds, 2),
        "chunks": trial.chunks,
        "dense_weight": trial.dense_weight,
        "rerank_weight": trial.rerank_weight,
    }


def _search_name(trial: Trial) -> str:
    weight = "" if trial.dense_weight is None else f" {trial.dense_weight:.2f}"
    return f"{trial.setup.search.value}{weight}"


def _rerank_name(trial: Trial) -> str:
    return "" if trial.rerank_weight is None else f"{trial.rerank_weight:.2f}"


def question_counts(kinds: Sequence[str]) -> dict[str, int]:
    """Count the questions of each kind."""
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
