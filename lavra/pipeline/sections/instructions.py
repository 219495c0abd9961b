"""The section of the instructions stage: the samples made from the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from lavra.pipeline.instructions import Account
from lavra.pipeline.samples.sample import KINDS, PAIR_KINDS
from lavra.pipeline.stages.instructions import InstructionsResult
from lavra.report.section import Details, Section, Table

_ACCOUNTS: Final = {
    "documents": "documents looked at",
    "unread": "documents not looked at: the others are enough",
    "not_python": "no Python that defines something",
    "passages": "whose passages are asked about",
    "definitions": "definitions with a docstring",
    "undocumented": "definitions without a usable docstring, left out",
    "plain_code": "source code without documentation: continued where there is more of it than of documented code",
    "empty": "documents that gave nothing",
    "repeated": "samples asked before, left out",
    "in_training": "held-out samples left out because training has their question or answer",
}


def instructions_section(result: InstructionsResult) -> Section:
    """The samples of each kind, and the counts of the documents by outcome."""
    training, heldout = asdict(result.training), asdict(result.heldout)
    return Section(
        title="Questions the text answers",
        summary=(
            f"{_found(result.training)} gave {sum(result.instructions.values()):,} instructions and "
            f"{sum(result.pairs.values()):,} pairs to learn from; no model wrote any of them."
        ),
        blocks=(
            Table(
                columns=("sample", "to learn from", "held out"),
                rows=(
                    *_rows("instruction", KINDS, result.instructions, result.heldout_instructions),
                    *_rows("pair", PAIR_KINDS, result.pairs, result.heldout_pairs),
                ),
            ),
            Details(
                summary="What became of the documents",
                blocks=(
                    Table(
                        columns=("", "training", "held out"),
                        rows=tuple((words, training[name], heldout[name]) for name, words in _ACCOUNTS.items()),
                    ),
                ),
            ),
        ),
    )


def _found(training: Account) -> str:
    """A sentence on the sources of the samples, the definitions first."""
    passages = f"the passages of {training.passages:,} documents"
    definitions = f"{training.definitions:,} documented functions and classes"
    both = [definitions] * bool(training.definitions) + [passages] * bool(training.passages)
    words = " and ".join(both) or "the text"
    return words[0].upper() + words[1:]


def _rows(
    sample: str, kinds: Sequence[str], training: Mapping[str, int], heldout: Mapping[str, int]
) -> Iterator[tuple[str, int, int]]:
    for kind in kinds:
        if kind in training or kind in heldout:
            yield f"{sample}: {kind}", training.get(kind, 0), heldout.get(kind, 0)
