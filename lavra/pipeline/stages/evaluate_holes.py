"""The evaluate stage of encoders and encoder-decoders: filling held-out holes, beside counts from both sides.

Model and baseline fill exactly the same hidden tokens: one epoch of the model's training batch maker on held-out
documents (at most `_MAX_BATCHES` batches, and for the baseline at most 20,000 of their holes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.files import write_json
from lavra.base.ports import Progress
from lavra.data.pretraining.dataset import TokenDataset
from lavra.evaluation.baselines.bidirectional import BidirectionalConfig, BidirectionalNgram
from lavra.evaluation.baselines.masked_text import Hiding, masked_text, span_text
from lavra.model.checkpoint import load_checkpoint
from lavra.model.transformer import EncoderDecoder
from lavra.pipeline.heldout import HeldoutHoles
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.evaluate import EVALUATION_FILE
from lavra.pipeline.stages.prepare import open_tokens
from lavra.tokens.tokenizer import Tokenizer

OURS: Final = "this model"
_MAX_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class EvaluateHolesFigures:
    """The model's held-out figures in the card.

    Attributes:
        nats_per_hole: nats a hidden token, of the model and of each baseline, by name.
        gain_over_backoff: share of nats the model saves on the 5-gram with both-side back-off; None where there
            is too little text to count.
        gain_over_combined: the same on its tuned combination.
        num_holes: number of hidden tokens measured.
    """

    nats_per_hole: Mapping[str, float]
    gain_over_backoff: float | None
    gain_over_combined: float | None
    num_holes: int

    @property
    def nats(self) -> float:
        """Nats a hidden token, of the model."""
        return self.nats_per_hole[OURS]


@dataclass(frozen=True, kw_only=True)
class EvaluateHolesResult(EvaluateHolesFigures):
    """The result of the evaluate stage of an encoder or encoder-decoder.

    Attributes:
        verdict: the model beside counts from both sides.
    """

    verdict: str


def evaluate_holes_stage(progress: Progress) -> Stage[EvaluateHolesResult | Skipped]:
    """Measure an encoder or encoder-decoder on held-out holes."""

    def run(context: StageContext) -> EvaluateHolesResult | Skipped:
        plan, folder = Plan.load(context.parents["plan"]), context.parents["pretrain"]
        tokenizer, heldout = Tokenizer.load(folder), open_tokens(context.parents["tokens"], "heldout")
        model, config = load_checkpoint(folder)
        holes = HeldoutHoles.of(heldout, tokenizer, config.kind, plan, _MAX_BATCHES)
        if holes is None:
            return Skipped(
                why=f"the held-out text has {heldout.num_tokens} tokens, too few to hide any; give more text"
            )
        model.eval()
        nll = holes.score(model, progress)
        progress("count from both sides", 0, None, "5-gram with both-side back-off")
        result = _compare(
            nll, holes, open_tokens(context.parents["tokens"], "train"), isinstance(model, EncoderDecoder)
        )
        write_json(context.folder / EVALUATION_FILE, {"nats_per_hole": result.nats, "verdict": result.verdict})
        return result

    return Stage(
        name="evaluate",
        kind="evaluation",
        folder="runs",
        version=1,
        run=run,
        needs=("tokens", "plan", "pretrain"),
        result=EvaluateHolesResult,
        figures=EvaluateHolesFigures,
    )


def _compare(
    nll: npt.NDArray[np.float32], holes: HeldoutHoles, train: TokenDataset, spans: bool
) -> EvaluateHolesResult:
    """Compare the model with counts from both sides; score the model alone where there is too little text to count."""
    text = span_text(holes.made(), holes.sentinel_ids) if spans else masked_text(holes.made())
    settings = BidirectionalConfig(hiding=Hiding.SPANS if spans else Hiding.TOKENS)
    try:
        counted = BidirectionalNgram.train(train, settings).score(text)
    except InputError as error:
        mine = float(nll.mean())
        return EvaluateHolesResult(
            nats_per_hole={OURS: mine},
            gain_over_backoff=None,
            gain_over_combined=None,
            num_holes=len(nll),
            verdict=f"A hidden held-out token costs {mine:.3f} nats. There is no baseline beside it: {error}.",
        )
    return _result(nll[np.searchsorted(text.places, counted.places)], counted.backoff_nll, counted.combined_nll)


def _result(
    ours: npt.NDArray[np.floating[Any]], backoff: npt.NDArray[np.floating[Any]], combined: npt.NDArray[np.floating[Any]]
) -> EvaluateHolesResult:
    mine, theirs, best = (float(nll.mean()) for nll in (ours, backoff, combined))
    gain, against_best = 1 - mine / theirs, 1 - mine / best
    verdict = (
        f"A hidden held-out token costs {mine:.3f} nats, {abs(gain):.0%} {'less' if gain > 0 else 'more'} than a "
        f"5-gram model with both-side back-off ({theirs:.3f}) and {abs(against_best):.0%} "
        f"{'less' if against_best > 0 else 'more'} than its tuned combination ({best:.3f})."
    )
    return EvaluateHolesResult(
        nats_per_hole={OURS: mine, "5-gram, both-side back-off": theirs, "5-grams combined, tuned": best},
        gain_over_backoff=gain,
        gain_over_combined=against_best,
        num_holes=len(ours),
        verdict=verdict,
    )
