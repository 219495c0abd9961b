"""The compress stage: an INT8 copy of the model, and the quality card with its cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from lavra.api.card_runner import open_card_runner
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.base.units import format_duration
from lavra.compression.card import QualityCard
from lavra.compression.config import CompressConfig
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.texts import Texts
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import SHARES, UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.text.corpus import Corpus

_TO: Final = "int8"  # holds its bars without calibration, so it costs seconds
_SECONDS_A_PARAMETER: Final = 1.3e-6  # for rounding and the card, on two cores (docs/log.md)
_SECONDS_ALWAYS: Final = 60.0  # are spent, however small the share
_DOCUMENTS = 400  # held-out documents that are looked at, spread over all of them


@dataclass(frozen=True, kw_only=True)
class CompressFigures:
    """The smaller model's figures in the card.

    Attributes:
        holds: whether it is within every bar of its quality card.
        bytes: size of all its files.
        mean_kl: mean divergence from the model, in nats a position; None for a kind of model without this figure.
    """

    holds: bool
    bytes: int
    mean_kl: float | None


@dataclass(frozen=True, kw_only=True)
class CompressResult(CompressFigures):
    """The result of the compress stage: savings and cost of the smaller model.

    Attributes:
        quality: quality card of the model.
    """

    quality: QualityCard


def compress_stage(config: UpConfig, progress: Progress) -> Stage[CompressResult | Skipped]:
    """The stage that makes the INT8 model and measures it on held-out text; a missed bar is kept and shown in red."""

    def run(context: StageContext) -> CompressResult | Skipped:
        why = _too_large(Plan.load(context.parents["plan"]).num_parameters, config.budget * SHARES["compress"])
        if why:
            return Skipped(why=why)
        corpus = Corpus.open(context.parents["corpus"])
        every = max(1, corpus.num_documents("heldout") // _DOCUMENTS)
        heldout = Texts(
            f"heldout text of corpus {corpus.id}",
            lambda: (document.text for document in islice(corpus.documents("heldout"), 0, None, every)),
        )
        wanted = CompressConfig(to=_TO, allow_miss=True)
        try:
            inputs = Inputs(heldout=heldout, runner=open_card_runner)
            card = compress_folder(context.parents["pretrain"], context.folder, wanted, inputs, progress)
        except InputError as error:  # there is too little held-out text to measure on
            return Skipped(why=str(error))
        return CompressResult(holds=card.holds, bytes=card.bytes, mean_kl=card.comparison.mean_kl, quality=card)

    return Stage(
        name="compress",
        kind="model",
        folder="models",
        version=2,  # groups of 32, in the layout that others open
        run=run,
        needs=("corpus", "plan", "pretrain"),
        config={"to": _TO, "documents": _DOCUMENTS, "seconds": config.budget * SHARES["compress"]},
        result=CompressResult,
        figures=CompressFigures,
    )


def _too_large(parameters: int, seconds: float) -> str:
    """The reason why a model is not compressed in this time; empty where it is compressed.

    Args:
        parameters: number of parameters of the model.
        seconds: this stage's share of the budget.
    """
    needed = parameters * _SECONDS_A_PARAMETER
    if needed <= max(seconds, _SECONDS_ALWAYS):
        return ""
    return (
        f"{parameters / 1e6:.0f}M parameters take about {format_duration(needed)}, and this stage has "
        f"{format_duration(seconds)} of the budget; `lavra compress MODEL --to {_TO}` does it"
    )
