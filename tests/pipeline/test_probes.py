"""Questions about held-out text: the right answer is from the text, and neither length nor layout gives it away."""

from __future__ import annotations

import json
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lavra.base.types import Document
from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.opening import open_tasks
from lavra.pipeline.probes import NEXT, WORD, write_probes

NAMES = ("Ana", "Rui", "Eva", "Leo", "Rosa", "Tito")


def prose(number: int) -> Document:
    """A paragraph whose sentences name their document and place."""
    name = NAMES[number % len(NAMES)]
    sentences = [
        f"{name} walked to house {number} on day {day} and met the {'tall' if day % 2 else 'small'} neighbour."
        for day in range(12)
    ]
    return Document(id=str(number), text=" ".join(sentences[:6]) + "\n\n" + " ".join(sentences[6:]))


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_right_passage_is_what_stands_there_and_the_wrong_ones_are_of_elsewhere(tmp_path: Path) -> None:
    documents = [prose(number) for number in range(30)]
    assert write_probes(documents, tmp_path, most=100) == {NEXT: 100, WORD: 100}
    texts = [" ".join(document.text.split()) for document in documents]
    for row in rows(tmp_path, NEXT):
        right = row["choices"][row["answer"]]
        assert any(row["context"] + right in text for text in texts)
        assert len(set(row["choices"])) == 4
        for choice in row["choices"]:
            assert any(choice.strip() in text for text in texts)
            assert choice == right or not any(row["context"] + choice in text for text in texts)


def test_words_are_the_last_ones_of_their_sentences(tmp_path: Path) -> None:
    write_probes([prose(number) for number in range(30)], tmp_path, most=40)
    for row in rows(tmp_path, WORD):
        assert row["word"] == "neighbour"
        assert row["context"].endswith(("tall", "small"))


def test_the_places_of_right_answers_are_even_and_their_lengths_give_nothing_away(tmp_path: Path) -> None:
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]
    documents = [Document(id=path.name, text=path.read_text(encoding="utf-8"), kind="code") for path in sources]
    made = write_probes(documents, tmp_path, most=240)
    assert made == {NEXT: 240}  # code has no last words
    found = rows(tmp_path, NEXT)
    places = Counter(row["answer"] for row in found)
    assert min(places.values()) > 30
    longest = np.mean([np.argmax([len(choice) for choice in row["choices"]]) == row["answer"] for row in found])
    shortest = np.mean([np.argmin([len(choice) for choice in row["choices"]]) == row["answer"] for row in found])
    assert 0.1 < longest < 0.4
    assert 0.1 < shortest < 0.4
    indented = [[len(choice.strip("\n")) - len(choice.strip()) for choice in row["choices"]] for row in found]
    assert np.mean([len(set(one)) == 1 for one in indented]) > 0.5


def test_they_are_task_files_that_open(tmp_path: Path) -> None:
    write_probes([prose(number) for number in range(20)], tmp_path, most=10)
    names = [str(tmp_path / f"{name}.yaml") for name in (NEXT, WORD)]
    following, word = open_tasks(names, data=tmp_path, with_shipped=False).tasks
    assert (following.kind, word.kind) == (OutputType.MULTIPLE_CHOICE, OutputType.LOGLIKELIHOOD)
    item, row = following.item(0), rows(tmp_path, NEXT)[0]
    assert [pair.context + pair.continuation for pair in item.pairs] == [row["context"] + one for one in row["choices"]]
    assert item.gold == row["answer"]
    assert word.item(0).pairs[0].continuation == " neighbour"


def test_the_same_text_gives_the_same_questions_and_a_seed_others(tmp_path: Path) -> None:
    documents = [prose(number) for number in range(20)]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write_probes(documents, tmp_path / name, most=20, seed=seed)
    assert rows(tmp_path / "a", NEXT) == rows(tmp_path / "b", NEXT) != rows(tmp_path / "c", NEXT)


@pytest.mark.parametrize("text", ["", "One sentence only.", "numbers 1 2 3\n\n4 5 6", "x\n" * 500])
def test_a_text_without_questions_writes_nothing(tmp_path: Path, text: str) -> None:
    assert write_probes([Document(id="a", text=text)], tmp_path, most=10) == {}
    assert not list(tmp_path.iterdir())


def test_one_long_document_is_asked_about_itself_but_not_near_by(tmp_path: Path) -> None:
    text = " ".join(f"On day {day} the river rose by {day * 3} hands and fell again." for day in range(200))
    assert write_probes([Document(id="a", text=text)], tmp_path, most=10)[NEXT] == 10
    for row in rows(tmp_path, NEXT):
        days = [int(choice.split()[2]) for choice in row["choices"]]
        right = days[row["answer"]]
        assert all(day == right or abs(day - right) > 40 for day in days)


def test_scripts_without_spaces_are_joined_without_one(tmp_path: Path) -> None:
    def document(number: int) -> Document:
        return Document(
            id=str(number),
            text="".join(
                f"第{number}天他走到河边看见了第{day}条鱼在水里游来游去然后他又慢慢地走回家。" for day in range(9)
            ),
        )

    assert write_probes([document(number) for number in range(20)], tmp_path, most=10) == {NEXT: 10}
    assert all(choice.startswith("第") for row in rows(tmp_path, NEXT) for choice in row["choices"])
