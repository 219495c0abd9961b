"""A folder in which docstring examples run: tiny models, a file of reviews, documents, a benchmark."""

from __future__ import annotations

import csv
import random
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import lavra
from tests.evaluation.toy import write_task
from tests.runs.tasks import BAD, GOOD, WORDS, base_folder, rows, write

DOCUMENTS = {
    "bridge.txt": "The old bridge crosses the river. The bridge was opened in 1931 by the mayor.\n",
    "honey.txt": "Honey is a sweet food. Bees make honey from the nectar of flowers.\n",
}
MODULES = ("argparse.py", "ast.py", "csv.py", "datetime.py", "difflib.py", "textwrap.py", "typing.py", "uuid.py")
HEADS = {
    "ner": ("tag", "tagger"),
    "qa": ("answer", "reader"),
    "choice": ("choose", "chooser"),
    "rerank": ("rerank", "reranker"),
}
CAPITALS = {"France": "Paris", "Portugal": "Lisbon", "Italy": "Rome", "Spain": "Madrid", "Peru": "Lima"}


def write_reviews(path: Path) -> None:
    """Write reviews whose label depends on a single word."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        for number in range(40):
            words = [draw.choice(WORDS) for _ in range(4)]
            words.insert(draw.randint(0, 4), draw.choice(GOOD if number % 2 else BAD))
            rows.writerow((" ".join(words), "good" if number % 2 else "bad"))


def write_capitals(folder: Path) -> None:
    """Write a benchmark of four-way questions."""
    names = list(CAPITALS.values())
    rows = [
        {"q": f"The capital of {land} is", "choices": names, "gold": number} for number, land in enumerate(CAPITALS)
    ]
    fields = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}],
    }
    write_task(folder, "capitals", fields, rows)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder; it is the current one, with its own workspace."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LAVRA_WORKSPACE", str(folder / "workspace"))
        patch.delenv("LAVRA_DATA", raising=False)
        base_folder(folder / "tiny", "llama")
        base_folder(folder / "tiny-bert", "bert")
        write_reviews(folder / "reviews.csv")
        write_capitals(folder)
        (folder / "documents").mkdir()
        for name, text in DOCUMENTS.items():
            (folder / "documents" / name).write_text(text, encoding="utf-8")
        (folder / "texts").mkdir()
        for module in MODULES:
            shutil.copy(Path(sysconfig.get_path("stdlib")) / module, folder / "texts")
        (folder / "heldout.txt").write_text("the film was a good day in lisbon and who saw it\n" * 40, encoding="utf-8")
        lavra.finetune(
            "tiny-bert", "reviews.csv", task="classify", epochs=1, out=folder / "tiny-classifier", progress=False
        )
        for kind, (task, name) in HEADS.items():
            data = write(folder / f"{kind}.jsonl", rows(kind, 20))
            lavra.finetune("tiny-bert", data, task=task, steps=1, out=folder / f"tiny-{name}", progress=False)
        lavra.index("documents", name="handbook", encoder="none", progress=False)
        yield folder
