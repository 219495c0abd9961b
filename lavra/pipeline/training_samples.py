"""The samples of the instructions stage (`instructions`), as files that the teaching stages read.

`instructions-train.jsonl` and `instructions-heldout.jsonl` are also inputs of `lavra finetune --task chat`;
`pairs-train.jsonl` and `pairs-heldout.jsonl` are inputs of `--task embed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.files import read_json, write_json, write_text
from lavra.model.config import Kind
from lavra.pipeline.instructions import SplitSamples
from lavra.pipeline.samples.sample import Instruction, Pair
from lavra.pipeline.settings import shares

ACCOUNT_FILE: Final = "account.json"
_LEAST_TRAIN: Final = 64  # training samples of a kind; with fewer the kind is not taught
_LEAST_HELDOUT: Final = 8  # held-out samples; with fewer the kind is not measured


@dataclass(frozen=True, kw_only=True)
class TrainingSamples:
    """The artifact of the instructions stage, read back.

    Attributes:
        folder: folder of the artifact.
        no_instructions: the reason why there are too few instructions; empty where there are enough.
        no_pairs: the same for pairs.
    """

    folder: Path
    no_instructions: str
    no_pairs: str

    @classmethod
    def open(cls, folder: Path) -> TrainingSamples:
        """Open the artifact of the instructions stage."""
        account = read_json(folder / ACCOUNT_FILE)
        return cls(folder=folder, no_instructions=account["no_instructions"], no_pairs=account["no_pairs"])

    def shares(self, kind: Kind) -> dict[str, float]:
        """The share of the budget of each stage, for a kind of model taught by these samples."""
        return shares(kind, teaches_answers=not self.no_instructions, teaches_vectors=not self.no_pairs)

    def instructions(self, split: str) -> list[Instruction]:
        """In the order drawn."""
        return [Instruction(**row) for row in _read(self.folder / f"instructions-{split}.jsonl")]

    def pairs(self, split: str) -> list[Pair]:
        """In the order drawn."""
        return [Pair(**row) for row in _read(self.folder / f"pairs-{split}.jsonl")]


def write_training_samples(folder: Path, train: SplitSamples, heldout: SplitSamples) -> None:
    """Write both splits' samples as files, and the account of them: it says whether there are enough."""
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


def _too_few(what: str, train: int, heldout: int) -> str:
    if train >= _LEAST_TRAIN and heldout >= _LEAST_HELDOUT:
        return ""
    return (
        f"the text gave {train:,} {what} to learn from and {heldout:,} to measure on, and {_LEAST_TRAIN} and "
        f"{_LEAST_HELDOUT} are needed; give more text"
    )


def _write(path: Path, samples: Iterable[Instruction] | Iterable[Pair]) -> None:
    write_text(path, "".join(json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in samples))


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]
