"""The checks of `lavra doctor` on a run of `lavra up`, with small versions of its own model, text and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import torch

from lavra.base.checks import Check
from lavra.model.build import Model, build_model
from lavra.model.config import Kind, ModelConfig
from lavra.pipeline import fit
from lavra.pipeline.objective import make_objective
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stages.prepare import open_tokens
from lavra.text.corpus import Corpus
from lavra.tokens import checks
from lavra.tokens.conversation import with_template
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.checks import accumulation_check, resume_check
from lavra.train.objective import Objective
from lavra.train.packing import most_documents, packing_check

_NUM_TEXTS: Final = 50
_ROWS: Final = 2  # rows computed of every batch


@dataclass(frozen=True, kw_only=True)
class PretrainingRun:
    """A planned run.

    Attributes:
        plan: shape, batch, steps and time.
        tokenizer: tokenizer made for the run; for a run on conversations, with their template.
        model: model to be trained.
        texts: some held-out texts.
        make: number of rows -> the run's objective with batches of that many rows.
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
            config: settings of the run.
            folders: folders of the stages corpus, tokenizer, tokens and plan.
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
        """The model with fresh weights, which every check leaves unchanged."""
        torch.manual_seed(0)
        return build_model(self.model)

    @cached_property
    def small(self) -> Objective:
        """The objective with batches of a few rows."""
        return self.make(_ROWS)


def round_trip(run: PretrainingRun) -> Check:
    """Check that held-out texts come back from their tokens."""
    return checks.round_trip_check(run.tokenizer, run.texts)


def stop_token(run: PretrainingRun) -> Check | None:
    """Check that a writing model can learn where to stop."""
    return None if run.model.kind is Kind.ENCODER else checks.stop_check(run.tokenizer)


def chat_template(run: PretrainingRun) -> Check | None:
    """Check that conversations have one beginning; only decoders learn them."""
    return checks.template_check(run.tokenizer) if run.model.kind is Kind.DECODER else None


def memory(run: PretrainingRun) -> Check:
    """Check that training fits into memory."""
    batch = run.make(run.plan.batch_size).batches.batch(0)
    return fit.memory_check(run.plan, run.model, batch, compiled=run.plan.compiled)


def time(run: PretrainingRun) -> Check:
    """Check that training fits into its time."""
    return fit.time_check(run.plan, run.plan.train.num_steps)


def packing(run: PretrainingRun) -> Check:
    """Check that packed documents have the same loss as each alone."""
    return packing_check(run.fresh, run.small, most_documents(run.small))


def accumulation(run: PretrainingRun) -> Check:
    """Check that the rows of a batch, one by one, have the batch's loss and gradient."""
    batch = run.small.batches.batch(0)
    parts = [batch.rows(row, row + 1) for row in range(len(batch.sample_ids))]
    return accumulation_check(run.fresh, run.small, [batch], parts, run.plan.train)


def resuming(run: PretrainingRun) -> Check:
    """Check that an interrupted run continues where it was."""
    return resume_check(run.fresh, run.small, run.plan.train)
