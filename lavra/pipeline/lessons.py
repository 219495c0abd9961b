"""What the corpus can teach beyond going on (`instructions`), as the files that the stages which teach read.

`instructions-train.jsonl` and `instructions-heldout.jsonl` are what `lavra finetune --task chat` reads, too;
`pairs-train.jsonl` and `pairs-heldout.jsonl` what `--task embed` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.files import read_json, write_json, write_text
from lavra.model.config import Kind
from lavra.pipeline.instructions import Made
from lavra.pipeline.samples.sample import Instruction, Pair
from lavra.pipeline.settings import shares

ACCOUNT_FILE: Final = "account.json"
_LEAST_TRAIN: Final = 64  # samples of a kind of lesson; fewer teach nothing
_LEAST_HELDOUT: Final = 8  # fewer measure nothing


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What the instructions stage made, read back.

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

    def shares(self, kind: Kind) -> dict[str, float]:
        """What part of the budget each stage gets, for a kind of model that these teach."""
        return shares(kind, teaches_answers=not self.no_instructions, teaches_vectors=not self.no_pairs)

    def instructions(self, split: str) -> list[Instruction]:
        """In the order drawn."""
        return [Instruction(**row) for row in _read(self.folder / f"instructions-{split}.jsonl")]

    def pairs(self, split: str) -> list[Pair]:
        """In the order drawn."""
        return [Pair(**row) for row in _read(self.folder / f"pairs-{split}.jsonl")]


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
