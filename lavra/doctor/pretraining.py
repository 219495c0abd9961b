"""What `lavra doctor` checks of a run of `lavra up`, on small versions of the run's own model, text and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import torch

from lavra.base.checks import Check
from lavra.model import Model, ModelConfig, build_model
from lavra.model.config import Kind
from lavra.pipeline import fit
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stages.prepare import open_tokens
from lavra.text import Corpus
from lavra.tokens import Tokenizer, checks
from lavra.tokens.conversation import with_template
from lavra.train import Objective
from lavra.train.checks import accumulation_check, resume_check
from lavra.train.packing import most_documents, packing_check

_NUM_TEXTS: Final = 50
_ROWS: Final = 2  # of every batch that is computed


@dataclass(frozen=True, kw_only=True)
class PretrainingRun:
    """A run that is planned.

    Attributes:
        plan: shape, batch, steps and time.
        tokenizer: made for it; where conversations are to be learnt, with the template they are learnt in.
        model: that is to be trained.
        texts: some held-out ones.
        make: number of rows -> the run's objective with batches of that many.
    """

    plan: Plan
    tokenizer: Tokenizer
    model: ModelConfig
    texts: tuple[str, ...]
    make: Callable[[int], Objective]

    @classmethod
    def of(cls, config: UpConfig, folders: Mapping[str, Path]) -> PretrainingRun:
        """The run that finished stages describe.

        Args:
            config: of the run.
            folders: of the stages corpus, tokenizer, tokens and plan.
        """
        tokenizer, plan = Tokenizer.load(folders["tokenizer"]), Plan.load(folders["plan"])
        model = plan.model_config(tokenizer)
        documents = islice(Corpus.open(folders["corpus"]).documents("heldout"), _NUM_TEXTS)

        def make(batch_size: int) -> Objective:
            return make_objective(
                model.kind,
                open_tokens(folders["tokens"], "train"),
                tokenizer,
                batch_size=batch_size,
                sequence_length=plan.sequence_length,
                seed=plan.seed,
                noise=config.noise,
            )

        return cls(
            plan=plan,
            tokenizer=with_template(tokenizer) if model.kind is Kind.DECODER else tokenizer,
            model=model,
            texts=tuple(document.text for document in documents),
            make=make,
        )

    @cached_property
    def fresh(self) -> Model:
        """The model with fresh weights, which every check leaves as they are."""
        torch.manual_seed(0)
        return build_model(self.model)

    @cached_property
    def small(self) -> Objective:
        """The objective, a few rows at a time."""
        return self.make(_ROWS)


def round_trip(run: PretrainingRun) -> Check:
    """Held-out texts come back from their tokens."""
    return checks.round_trip_check(run.tokenizer, run.texts)


def stop_token(run: PretrainingRun) -> Check | None:
    """A model that writes can learn where to stop."""
    return None if run.model.kind is Kind.ENCODER else checks.stop_check(run.tokenizer)


def chat_template(run: PretrainingRun) -> Check | None:
    """Conversations begin once; only decoders learn them."""
    return checks.template_check(run.tokenizer) if run.model.kind is Kind.DECODER else None


def memory(run: PretrainingRun) -> Check:
    """Training fits into memory."""
    batch = run.make(run.plan.batch_size).batches.batch(0)
    return fit.memory_check(run.plan, run.model, batch, compiled=run.plan.compiled)


def time(run: PretrainingRun) -> Check:
    """Training fits into its time."""
    return fit.time_check(run.plan, run.plan.train.num_steps)


def packing(run: PretrainingRun) -> Check:
    """Packed documents cost what they cost alone."""
    return packing_check(run.fresh, run.small, most_documents(run.small))


def accumulation(run: PretrainingRun) -> Check:
    """A batch's rows, one by one, are the batch."""
    batch = run.small.batches.batch(0)
    parts = [batch.rows(row, row + 1) for row in range(len(batch.sample_ids))]
    return accumulation_check(run.fresh, run.small, [batch], parts, run.plan.train)


def resuming(run: PretrainingRun) -> Check:
    """An interrupted run goes on where it was."""
    return resume_check(run.fresh, run.small, run.plan.train)
