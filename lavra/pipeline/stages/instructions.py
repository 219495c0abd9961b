"""The instructions stage: instructions and pairs made of the corpus, to be taught from.

It runs before the plan, which gives the time of stages that will have nothing to teach to pretraining.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import Progress
from lavra.base.types import Document
from lavra.pipeline.instructions import Account, Made, count_kinds, make_samples
from lavra.pipeline.lessons import write_lessons
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.text import Corpus, SplitName

_LOOKED_AT: Final = 16_000_000  # bytes of a split; more gives more samples than a budget of days teaches
_LEAST_ROOM: Final = 128  # bytes of question and answer; less says nothing
_MOST_ROOM: Final = 1024  # a token is a byte at least, so what has room in as many bytes has it in the context


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
    """Make instructions and pairs of the corpus."""
    room = min(_MOST_ROOM, max(_LEAST_ROOM, config.context))

    def run(context: StageContext) -> InstructionsResult:
        corpus = Corpus.open(context.parents["corpus"])
        train = _made(corpus, "train", config.seed, room, progress)
        heldout = _made(corpus, "heldout", config.seed, room, progress, training=train)
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
        version=2,
        run=run,
        needs=("corpus",),
        config={"seed": config.seed, "room": room, "bytes": _LOOKED_AT},
        result=InstructionsResult,
        figures=InstructionsFigures,
    )


def _made(
    corpus: Corpus, split: SplitName, seed: int, room: int, progress: Progress, training: Made | None = None
) -> Made:
    """What the documents of a split give; of a large corpus a part is drawn, which gives more than is ever taught."""
    total, share = corpus.num_documents(split), min(1.0, _LOOKED_AT / max(1, corpus.num_bytes(split)))

    def drawn() -> Iterator[Document]:
        for number, document in enumerate(corpus.documents(split), start=1):
            progress(f"make questions of {split} text", number, total)
            if random.Random(f"{seed} look {document.id}").random() < share:
                yield document

    made = make_samples(drawn(), seed, room=room, training=training)
    made.account.unread = total - made.account.documents
    return made
