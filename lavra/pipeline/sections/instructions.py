"""What the documented functions and classes of the text gave to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from lavra.pipeline.instructions import KINDS, PAIR_KINDS
from lavra.pipeline.stages.instructions import InstructionsResult
from lavra.report import Details, Section, Table

_ACCOUNTS: Final = {
    "documents": "documents",
    "not_python": "no Python, or nothing defined",
    "definitions": "definitions with a docstring",
    "undocumented": "definitions without one that says something, left out",
    "repeated": "samples asked before, left out",
    "in_training": "held-out samples left out because training has their question or answer",
}


def instructions_section(result: InstructionsResult) -> Section:
    """Samples of each kind, and what became of the documents."""
    training, heldout = asdict(result.training), asdict(result.heldout)
    return Section(
        title="Questions the text answers",
        summary=(
            f"{result.training.definitions:,} documented functions and classes gave "
            f"{sum(result.instructions.values()):,} instructions and {sum(result.pairs.values()):,} pairs to learn "
            "from; nothing was run, only parsed."
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


def _rows(
    sample: str, kinds: Sequence[str], training: Mapping[str, int], heldout: Mapping[str, int]
) -> Iterator[tuple[str, int, int]]:
    for kind in kinds:
        yield f"{sample}: {kind}", training.get(kind, 0), heldout.get(kind, 0)
