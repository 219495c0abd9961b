"""The files of a folder by purpose: training, validation, test.

A split is known by a word of its files' names (`train.jsonl`, `sst2_dev.tsv.gz`, `test-00000-of-00002.parquet`).  The
parts a file was cut into belong together; two different files for one split are an error, because only the user
knows the right file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lavra.base.errors import InputError
from lavra.data.labelled.reading import CONLL_EXTENSIONS, EXTENSIONS
from lavra.data.labelled.tables import extension_of


class Split(Enum):
    """The purpose of samples."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_WORDS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "dev": Split.VALIDATION,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "eval": Split.VALIDATION,
    "test": Split.TEST,
}
_WORD = re.compile(r"[a-z]+")
_PART = re.compile(r"-\d+-of-\d+")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The files of each split, in the order they are to be read; none where the folder has none.

    Attributes:
        train: to learn from.
        validation: to choose by.
        test: to report.
        other: data files that are of no split by their names.
    """

    train: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    other: tuple[Path, ...] = ()


def find_splits(folder: Path) -> Splits:
    """The splits a folder holds.

    Raises:
        InputError: it is not a folder, holds no training data, or several files for one split.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name one that holds train, validation and test files")
    found: dict[Split | None, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and extension_of(path) in (*EXTENSIONS, *CONLL_EXTENSIONS):
            found.setdefault(split_of(path), []).append(path)
    for split in Split:
        _check_one(folder, split, found.get(split, []))
    if Split.TRAIN not in found:
        names = ", ".join(path.name for paths in found.values() for path in paths) or "no data files"
        raise InputError(f"{folder} holds {names}, none for training; call one train.jsonl (or .csv, .tsv, …)")
    return Splits(
        train=tuple(found[Split.TRAIN]),
        validation=tuple(found.get(Split.VALIDATION, ())),
        test=tuple(found.get(Split.TEST, ())),
        other=tuple(found.get(None, ())),
    )


def split_of(path: Path) -> Split | None:
    """The split a file is of by its name: the last word that names one decides (`train_test.csv` is a test)."""
    stem = path.name.lower().removesuffix(".gz").removesuffix(extension_of(path))
    return next((_WORDS[word] for word in reversed(_WORD.findall(stem)) if word in _WORDS), None)


def _check_one(folder: Path, split: Split, paths: list[Path]) -> None:
    if len({_PART.sub("", path.name) for path in paths}) > 1:
        names = ", ".join(path.name for path in paths)
        raise InputError(f"{folder} has several files for {split.value}: {names}; name the one to read")
