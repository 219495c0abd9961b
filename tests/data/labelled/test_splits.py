"""Finding the files of a split."""

from __future__ import annotations

from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.data.labelled.splits import Split, find_splits, split_of


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", Split.TRAIN),
        ("sst2_dev.tsv.gz", Split.VALIDATION),
        ("validation-00000-of-00001.parquet", Split.VALIDATION),
        ("test.conll", Split.TEST),
        ("contest.csv", None),
        ("train_test.csv", Split.TEST),
        ("data.json", None),
    ],
)
def test_the_split_is_a_word_of_the_name(name: str, split: Split | None) -> None:
    assert split_of(Path(name)) is split


def test_a_folder_gives_its_splits_and_other_files(tmp_path: Path) -> None:
    fill(tmp_path, "train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "dev.tsv", "extra.csv", "README.md")
    found = find_splits(tmp_path)
    assert [path.name for path in found.train] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [path.name for path in found.validation] == ["dev.tsv"]
    assert found.test == ()
    assert [path.name for path in found.other] == ["extra.csv"]


def test_two_files_for_one_split_or_none_for_training_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no data files"):
        find_splits(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_splits(tmp_path / "none")
    with pytest.raises(InputError, match=r"several files for validation: dev\.tsv, valid\.tsv"):
        find_splits(fill(tmp_path, "train.csv", "dev.tsv", "valid.tsv"))
