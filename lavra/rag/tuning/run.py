"""Tune: compare setups of chunking and search on questions with known answers, and choose one.

Every trial is kept under the hash of its setup, in a folder named by the hash of everything that decides the results,
and every vector under the hash of its text. So a run that was stopped, or ran out of time, goes on when the same
command is given again, and gives the table of an uninterrupted run (times of searches aside).

Order: every way of cutting with every search; then the reranker, on the best ways of cutting first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lavra.base.convert import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.ports import Progress, silent
from lavra.rag.questions.given import JudgedQuestion
from lavra.rag.tuning.choose import choose
from lavra.rag.tuning.config import Search, Setup, TuningConfig, chunking_name, usual_chunkings
from lavra.rag.tuning.corpus import TunedCorpus, cut_sample
from lavra.rag.tuning.plan import TuningPlan, plan_run
from lavra.rag.tuning.results import TuningResult, keep_trial, kept_trial, question_counts
from lavra.rag.tuning.shelf import Deadline, OutOfTimeError, VectorShelf
from lavra.rag.tuning.trial import LEAST_TO_LEARN, RememberingReranker, Trial, TrialRunner
from lavra.text.chunking.config import ChunkConfig

VERSION = 1
"""The version of measuring, raised by hand when the same setup would give other results."""


def tune(
    corpus: TunedCorpus,
    folder: Path,
    config: TuningConfig | None = None,
    *,
    given: Sequence[JudgedQuestion] = (),
    left_out: Sequence[str] = (),
    progress: Progress = silent,
) -> TuningResult:
    """Compare setups within the time of the configuration, and choose one.

    Args:
        corpus: the index and the models that search it.
        folder: path where trials and vectors are kept.
        config: settings: the time, the number of questions, and the setups compared.
        given: the user's questions, with the places of their answers.
        left_out: a sentence about each of the user's questions that has no place.
        progress: shows how far it is.

    Raises:
        InputError: the documents give too few questions, or the time is too short for one setup.
    """
    config = config or TuningConfig()
    deadline, start = Deadline(60 * config.minutes), time.monotonic()
    others = config.chunkings or usual_chunkings(
        corpus.chunking, longest=corpus.longest, meaning=corpus.embedder is not None
    )
    chunkings = tuple(dict.fromkeys((corpus.chunking, *others)))
    own = folder / _key(corpus, config, chunkings, given)
    plan = plan_run(corpus, config, chunkings, given, left_out, own)
    with tempfile.TemporaryDirectory(prefix="lavra-tune-") as scratch:
        run = _Run(corpus, config, plan, own, Path(scratch), deadline, progress)
        trials, missing = run.trials(chunkings)
    return _result(corpus, plan, trials, missing, time.monotonic() - start)


class _Run:
    """The trials of one plan."""

    def __init__(
        self,
        corpus: TunedCorpus,
        config: TuningConfig,
        plan: TuningPlan,
        folder: Path,
        scratch: Path,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._corpus, self._config, self._plan, self._folder = corpus, config, plan, folder
        self._scratch, self._deadline, self._progress = scratch, deadline, progress
        self._embedder = self._queries = None
        if corpus.embedder is not None:
            self._embedder = self._queries = VectorShelf(_shelf(folder, corpus, "documents"), corpus.embedder, deadline)
        if corpus.query_embedder is not None:
            self._queries = VectorShelf(_shelf(folder, corpus, "questions"), corpus.query_embedder, deadline)
        self._reranker = None if corpus.reranker is None else RememberingReranker(corpus.reranker, deadline)
        self._done = 0
        self._all = 0

    def trials(self, chunkings: Sequence[ChunkConfig]) -> tuple[list[Trial], list[Setup]]:
        """The trials for which there was time, and the setups for which there was none."""
        plain = [Setup(chunking=one, search=search) for one in chunkings for search in self._searches()]
        self._all = len(plain) * (1 if self._reranker is None else 2)
        found = self._measured(plain)
        if self._reranker is not None:
            self._measured_again(found, chunkings)
        every = plain + ([replace(setup, reranked=True) for setup in plain] if self._reranker is not None else [])
        return list(found.values()), [setup for setup in every if setup not in found]

    def _measured_again(self, found: dict[Setup, Trial], chunkings: Sequence[ChunkConfig]) -> None:
        """Add trials with the reranker, on the best ways of cutting first."""
        best = {
            chunking: max(
                (float(one.gains().mean()) for setup, one in found.items() if setup.chunking == chunking), default=-1.0
            )
            for chunking in chunkings
        }
        order = sorted(found, key=lambda setup: -best[setup.chunking])
        found.update(self._measured([replace(setup, reranked=True) for setup in order]))

    def _searches(self) -> list[Search]:
        if self._embedder is None:
            return [Search.WORDS]
        usable = len(self._plan.questions) >= LEAST_TO_LEARN
        return [one for one in Search if usable or one is not Search.WEIGHTED]

    def _measured(self, setups: Sequence[Setup]) -> dict[Setup, Trial]:
        """Make trials of setups, those of one way of cutting one after another; as many as the time allows."""
        found: dict[Setup, Trial] = {}
        for chunking in dict.fromkeys(setup.chunking for setup in setups):
            own = [setup for setup in setups if setup.chunking == chunking]
            kept = {setup: trial for setup in own if (trial := kept_trial(self._folder / "trials", setup))}
            found.update(kept)
            self._done += len(kept)
            missing = [setup for setup in own if setup not in kept]
            try:
                if missing:
                    self._deadline.check()
                    found.update(self._of_chunking(chunking, missing))
            except OutOfTimeError:
                continue  # trials that an earlier run kept of other ways of cutting still count
        return found

    def _of_chunking(self, chunking: ChunkConfig, setups: Sequence[Setup]) -> dict[Setup, Trial]:
        found: dict[Setup, Trial] = {}
        self._progress("tune", self._done, self._all, chunking_name(chunking))
        with self._bench(chunking) as bench:
            for setup in setups:
                if self._deadline.left() <= 0:
                    return found
                try:
                    found[setup] = bench.measure(setup)
                except OutOfTimeError:
                    return found
                keep_trial(self._folder / "trials", found[setup])
                self._done += 1
                self._progress("tune", self._done, self._all, f"{chunking_name(chunking)}, {setup.search.value}")
        return found

    @contextmanager
    def _bench(self, chunking: ChunkConfig) -> Iterator[TrialRunner]:
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            cut = cut_sample(self._corpus, self._plan.documents, chunking, self._embedder, Path(folder))
            if self._queries is not None:
                self._queries.embed([one.question for one in self._plan.questions])  # together, which is quicker
            yield TrialRunner(
                cut,
                self._plan.questions,
                self._queries,
                self._reranker,
                rerank_depth=self._config.rerank_depth,
                seed=self._config.seed,
            )


def _shelf(folder: Path, corpus: TunedCorpus, what: str) -> Path:
    """The shelf for an encoder's vectors, shared by all plans of an index."""
    return folder.parent / f"vectors-of-{what}-{hash_json(corpus.encoder)}"


def _key(
    corpus: TunedCorpus, config: TuningConfig, chunkings: Sequence[ChunkConfig], given: Sequence[JudgedQuestion]
) -> str:
    """The hash of everything that decides the measurements."""
    return hash_json(
        [
            VERSION,
            corpus.key,
            corpus.encoder,
            corpus.reranker_key,
            corpus.generator is not None,
            to_mapping(config),
            [to_mapping(one) for one in chunkings],
            [[one.question, [[place.document, place.start, place.end] for place in one.places]] for one in given],
        ]
    )


def _result(
    corpus: TunedCorpus, plan: TuningPlan, trials: Sequence[Trial], missing: Sequence[Setup], seconds: float
) -> TuningResult:
    kinds = [one.kind for one in plan.questions]
    as_now = [trial for trial in trials if trial.setup.chunking == corpus.chunking]
    if not as_now:
        raise InputError(
            "the time did not suffice to measure one setup; what is embedded is kept: give the same command again, "
            "or more `minutes`"
        )
    return TuningResult(
        trials=tuple(trials),
        missing=tuple(missing),
        choice=choose(trials, corpus.chunking, kinds),
        here=choose(as_now, corpus.chunking, kinds),
        questions=question_counts([kind.value for kind in kinds]),
        left_out=plan.left_out,
        documents=len(plan.documents),
        all_documents=len(corpus.table.documents()),
        seconds=seconds,
    )
