"""The instructions stage: it makes instructions and pairs from the corpus, for teaching.

It runs before the plan, because the plan gives the time of stages without samples to pretraining.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import Progress
from lavra.base.types import Document
from lavra.pipeline.instructions import Account, SplitSamples, count_kinds, make_samples
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.training_samples import write_training_samples
from lavra.text.corpus import Corpus, SplitName

_LOOKED_AT: Final = 16_000_000  # bytes of a split; more gives more samples than a budget of days teaches
_LEAST_BYTES: Final = 128  # bytes of question and answer; shorter contexts hold no usable sample
_MOST_BYTES: Final = 1024  # a token is at least a byte, so a text of this many bytes fits the context


@dataclass(frozen=True, kw_only=True)
class InstructionsFigures:
    """The figures of the samples in the card.

    Attributes:
        instructions: by kind, number of training instructions.
        pairs: by kind, number of training pairs.
    """

    instructions: Mapping[str, int]
    pairs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class InstructionsResult(InstructionsFigures):
    """The result of the instructions stage.

    Attributes:
        heldout_instructions: by kind, number of held-out instructions.
        heldout_pairs: by kind, number of held-out pairs.
        training: counts of the training documents, by outcome.
        heldout: counts of the held-out documents, by outcome.
    """

    heldout_instructions: Mapping[str, int]
    heldout_pairs: Mapping[str, int]
    training: Account
    heldout: Account


def instructions_stage(config: UpConfig, progress: Progress) -> Stage[InstructionsResult]:
    """Make instructions and pairs of the corpus."""
    max_bytes = min(_MOST_BYTES, max(_LEAST_BYTES, config.context))

    def run(context: StageContext) -> InstructionsResult:
        corpus = Corpus.open(context.parents["corpus"])
        train = _made(corpus, "train", config.seed, max_bytes, progress)
        heldout = _made(corpus, "heldout", config.seed, max_bytes, progress, training=train)
        write_training_samples(context.folder, train, heldout)
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
        version=2,
        run=run,
        needs=("corpus",),
        config={"seed": config.seed, "room": max_bytes, "bytes": _LOOKED_AT},
        result=InstructionsResult,
        figures=InstructionsFigures,
    )


def _made(
    corpus: Corpus,
    split: SplitName,
    seed: int,
    max_bytes: int,
    progress: Progress,
    training: SplitSamples | None = None,
) -> SplitSamples:
    """The samples of a split; a large corpus gives them from a random part, which holds more than a run can teach."""
    total, share = corpus.num_documents(split), min(1.0, _LOOKED_AT / max(1, corpus.num_bytes(split)))

    def drawn() -> Iterator[Document]:
        for number, document in enumerate(corpus.documents(split), start=1):
            progress(f"make questions of {split} text", number, total)
            if random.Random(f"{seed} look {document.id}").random() < share:
                yield document

    made = make_samples(drawn(), seed, max_bytes=max_bytes, training=training)
    made.account.unread = total - made.account.documents
    return made
