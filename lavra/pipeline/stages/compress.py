"""The compress stage: the model in eight bits beside the model, and the card that says what that cost."""

from __future__ import annotations

from itertools import islice
from typing import Final

from lavra.base.ports import Progress
from lavra.compression.card import QualityCard
from lavra.compression.config import CompressConfig
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.texts import Texts
from lavra.pipeline.stage import Stage, StageContext
from lavra.report import Fact, Facts, Section, Table, Tone
from lavra.text import Corpus

_TO: Final = "int8"  # holds its bars without calibration, so it costs seconds
_DOCUMENTS = 400  # held-out documents that are looked at, spread over all of them


def compress_stage(progress: Progress) -> Stage:
    """Make the INT8 model, and measure it on held-out text; a card it misses is kept and said in red."""

    def run(context: StageContext) -> None:
        corpus = Corpus.open(context.parents["corpus"])
        every = max(1, corpus.num_documents("heldout") // _DOCUMENTS)
        heldout = Texts(
            f"heldout text of corpus {corpus.id}",
            lambda: (document.text for document in islice(corpus.documents("heldout"), 0, None, every)),
        )

        config = CompressConfig(to=_TO, allow_miss=True)
        card = compress_folder(context.parents["pretrain"], context.folder, config, Inputs(heldout=heldout), progress)
        context.metrics.update(holds=card.holds, bytes=card.bytes, mean_kl=card.comparison.mean_kl)
        context.section = _section(card)

    return Stage(
        name="compress",
        kind="model",
        folder="models",
        version=1,
        run=run,
        needs=("corpus", "pretrain"),
        config={"to": _TO, "documents": _DOCUMENTS},
    )


def _section(card: QualityCard) -> Section:
    increase = card.comparison.bits_increase
    cost = "" if increase is None else f" for {increase:+.2%} bits per {card.comparison.unit}"
    verdict = "within its bars" if card.holds else f"it misses its bars: {'; '.join(card.misses)}"
    return Section(
        title="Eight bits",
        summary=f"The model's folder in {card.bytes / card.source_bytes:.2f} of its size{cost}: {verdict}.",
        blocks=(
            Facts(
                items=(
                    Fact(
                        label="INT8 quality card",
                        value="holds" if card.holds else "misses",
                        tone=Tone.GOOD if card.holds else Tone.WARNING,
                    ),
                )
            ),
            Table(
                columns=("", "before", "after", "bar"),
                rows=tuple(card.rows()),
                caption=f"Measured on {card.comparison.num_tokens:,} positions of {card.text}",
            ),
        ),
    )
