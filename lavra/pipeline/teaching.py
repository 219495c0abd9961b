"""The instructions stage: what the corpus can teach beyond going on (`instructions`), as files the next stages read.

`instructions-train.jsonl` and `instructions-heldout.jsonl` are what `lavra finetune --task chat` reads, too;
`pairs-train.jsonl` and `pairs-heldout.jsonl` what `--task embed` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.files import read_json, write_json, write_text
from lavra.base.ports import Progress
from lavra.pipeline.instructions import (
    KINDS,
    PAIR_KINDS,
    Instruction,
    Made,
    Pair,
    count_kinds,
    make_samples,
)
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.report import Details, Section, Table
from lavra.text import Corpus

ACCOUNT_FILE: Final = "account.json"
_LEAST_TRAIN: Final = 64  # samples of a kind of lesson; fewer teach nothing
_LEAST_HELDOUT: Final = 8  # fewer measure nothing


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What the stage made, read back.

    Attributes:
        folder: its artifact.
        no_instructions: why there are too few of them; empty where there are enough.
        no_pairs: the same of pairs.
    """

    folder: Path
    no_instructions: str
    no_pairs: str

    @classmethod
    def open(cls, folder: Path) -> Lessons:
        """Of an artifact."""
        account = read_json(folder / ACCOUNT_FILE)
        return cls(folder=folder, no_instructions=account["no_instructions"], no_pairs=account["no_pairs"])

    def instructions(self, split: str) -> list[Instruction]:
        """In the order drawn."""
        return [Instruction(**row) for row in _read(self.folder / f"instructions-{split}.jsonl")]

    def pairs(self, split: str) -> list[Pair]:
        """In the order drawn."""
        return [Pair(**row) for row in _read(self.folder / f"pairs-{split}.jsonl")]


def instructions_stage(config: UpConfig, progress: Progress) -> Stage:
    """Make instructions and pairs of the Python sources in the corpus."""

    def run(context: StageContext) -> None:
        corpus = Corpus.open(context.parents["corpus"])
        progress("read definitions", 0, None)
        train = make_samples(corpus.documents("train"), config.seed)
        heldout = make_samples(corpus.documents("heldout"), config.seed, training=train)
        write_lessons(context.folder, train, heldout)
        context.metrics.update(instructions=count_kinds(train.instructions), pairs=count_kinds(train.pairs))
        context.section = _section(train, heldout)

    return Stage(
        name="instructions",
        kind="instructions",
        folder="corpora",
        version=1,
        run=run,
        needs=("corpus",),
        config={"seed": config.seed},
    )


def write_lessons(folder: Path, train: Made, heldout: Made) -> None:
    """Both splits' samples as files, and the account of them, whether there are enough included."""
    for split, made in (("train", train), ("heldout", heldout)):
        _write(folder / f"instructions-{split}.jsonl", made.instructions)
        _write(folder / f"pairs-{split}.jsonl", made.pairs)
    account = {
        "train": asdict(train.account),
        "heldout": asdict(heldout.account),
        "no_instructions": _too_few("instructions", len(train.instructions), len(heldout.instructions)),
        "no_pairs": _too_few("pairs", len(train.pairs), len(heldout.pairs)),
    }
    write_json(folder / ACCOUNT_FILE, account)


def skipped_section(title: str, why: str) -> Section:
    """What a stage says that did nothing, and why."""
    return Section(title=title, summary=f"Skipped: {why}.")


def _too_few(what: str, train: int, heldout: int) -> str:
    if train >= _LEAST_TRAIN and heldout >= _LEAST_HELDOUT:
        return ""
    return (
        f"the text gave {train:,} {what} to learn from and {heldout:,} to measure on, and {_LEAST_TRAIN} and "
        f"{_LEAST_HELDOUT} are needed; they are made of functions and classes in Python source that have docstrings"
    )


def _write(path: Path, samples: Iterable[Instruction] | Iterable[Pair]) -> None:
    write_text(path, "".join(json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in samples))


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def _section(train: Made, heldout: Made) -> Section:
    rows = [*_kind_rows("instruction", KINDS, train.instructions, heldout.instructions)]
    rows += _kind_rows("pair", PAIR_KINDS, train.pairs, heldout.pairs)
    ours, theirs = asdict(train.account), asdict(heldout.account)
    return Section(
        title="Questions the text answers",
        summary=(
            f"{train.account.definitions:,} documented functions and classes gave {len(train.instructions):,} "
            f"instructions and {len(train.pairs):,} pairs to learn from; nothing was run, only parsed."
        ),
        blocks=(
            Table(columns=("sample", "to learn from", "held out"), rows=tuple(rows)),
            Details(
                summary="What became of the documents",
                blocks=(
                    Table(
                        columns=("", "training", "held out"),
                        rows=tuple((_ACCOUNTS[name], ours[name], theirs[name]) for name in _ACCOUNTS),
                    ),
                ),
            ),
        ),
    )


def _kind_rows(
    what: str, kinds: Sequence[str], train: Sequence[Instruction | Pair], heldout: Sequence[Instruction | Pair]
) -> list[tuple[str, int, int]]:
    ours, theirs = count_kinds(train), count_kinds(heldout)
    return [(f"{what}: {kind}", ours.get(kind, 0), theirs.get(kind, 0)) for kind in kinds]


_ACCOUNTS: Final = {
    "documents": "documents",
    "not_python": "no Python, or nothing defined",
    "definitions": "definitions with a docstring",
    "undocumented": "definitions without one that says something, left out",
    "repeated": "samples asked before, left out",
    "in_training": "held-out samples left out because training has their question or answer",
}
