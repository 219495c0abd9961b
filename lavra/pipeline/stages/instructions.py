"""The instructions stage: instructions and pairs made of the Python sources in the corpus, to be taught from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lavra.base.ports import Progress
from lavra.pipeline.instructions import Account, count_kinds, make_samples
from lavra.pipeline.lessons import write_lessons
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.text import Corpus


@dataclass(frozen=True, kw_only=True)
class InstructionsFigures:
    """What the card says of the samples.

    Attributes:
        instructions: by kind, instructions to learn from.
        pairs: by kind, pairs to learn from.
    """

    instructions: Mapping[str, int]
    pairs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class InstructionsResult(InstructionsFigures):
    """What the stage found in the text.

    Attributes:
        heldout_instructions: by kind, instructions to measure on.
        heldout_pairs: by kind, pairs to measure on.
        training: what became of the documents to learn from.
        heldout: what became of the held-out ones.
    """

    heldout_instructions: Mapping[str, int]
    heldout_pairs: Mapping[str, int]
    training: Account
    heldout: Account


def instructions_stage(config: UpConfig, progress: Progress) -> Stage[InstructionsResult]:
    """Make instructions and pairs of the Python sources in the corpus."""

    def run(context: StageContext) -> InstructionsResult:
        corpus = Corpus.open(context.parents["corpus"])
        progress("read definitions", 0, None)
        train = make_samples(corpus.documents("train"), config.seed)
        heldout = make_samples(corpus.documents("heldout"), config.seed, training=train)
        write_lessons(context.folder, train, heldout)
        return InstructionsResult(
            instructions=count_kinds(train.instructions),
            pairs=count_kinds(train.pairs),
            heldout_instructions=count_kinds(heldout.instructions),
            heldout_pairs=count_kinds(heldout.pairs),
            training=train.account,
            heldout=heldout.account,
        )

    return Stage(
        name="instructions",
        kind="instructions",
        folder="corpora",
        version=1,
        run=run,
        needs=("corpus",),
        config={"seed": config.seed},
        result=InstructionsResult,
        figures=InstructionsFigures,
    )
